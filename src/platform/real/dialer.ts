/**
 * Byte streams over TCP. A process that exits resets them: otherwise the system would go on to deliver what it has taken, for minutes where
 * the path is cut, although nobody stands for it any more. One that is killed cannot.
 */
import { createConnection, type Socket } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import type { ByteStream, Dialer } from '../byte-stream.ts'
import { formatAddress } from '../transport.ts'
import { connectError } from './socket-errors.ts'

const open = new Set<Socket>()
process.on('exit', () => {
  for (const socket of open) socket.resetAndDestroy()
})

export const realDialer: Dialer = {
  dial(address, limitMs) {
    return new Promise((resolve, reject) => {
      const where = formatAddress(address)
      // half-open, so that Node does not begin to shut it down by itself: a socket that does can be reset no more, and would stay open
      const socket = createConnection({ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true })
      const fail = (error: MatrixError): void => {
        clearTimeout(limit)
        socket.destroy()
        reject(error)
      }
      const limit = setTimeout(
        () => fail(new MatrixError('timeout', `${where} did not answer within ${limitMs} ms`)),
        limitMs,
      )
      socket.once('error', (error) => fail(connectError(where, error)))
      socket.once('connect', () => {
        clearTimeout(limit)
        socket.removeAllListeners('error')
        let reason: string | undefined
        open.add(socket)
        const stream: ByteStream = {
          write(buffers, onSent) {
            if (reason !== undefined || buffers.length === 0) return
            const last = buffers.length - 1
            socket.cork()
            for (let i = 0; i < last; i++) socket.write(buffers[i] as Uint8Array)
            socket.write(buffers[last] as Uint8Array, (error) => {
              if (!error && reason === undefined) onSent()
            })
            socket.uncork()
          },
          reset() {
            reason ??= 'closed here'
            socket.resetAndDestroy()
          },
          onData: () => {},
          onClose: () => {},
        }
        socket.on('data', (chunk: Buffer) => {
          if (reason === undefined) stream.onData(chunk)
        })
        // half-closed is of no use to anybody: what was to be answered never will be
        socket.on('end', () => {
          reason ??= 'closed by the peer'
          socket.resetAndDestroy()
        })
        socket.on('error', (error) => {
          reason ??= error.message
        })
        socket.on('close', () => {
          open.delete(socket)
          stream.onClose(reason ?? 'closed by the peer')
        })
        resolve(stream)
      })
    })
  },
}
