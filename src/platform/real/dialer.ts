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

/** What is read at a time when the reader has no place of its own, bytes. */
const CHUNK_BYTES = 64 * 1024

export const realDialer: Dialer = {
  dial(address, limitMs) {
    return new Promise((resolve, reject) => {
      const where = formatAddress(address)
      // half-open, so that Node does not begin to shut it down by itself: a socket that does can be reset no more, and would stay open
      let stream: ByteStream | undefined
      let reason: string | undefined
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      const socket = createConnection({
        ...{ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true },
        onread: {
          buffer: () => stream?.place() ?? chunk,
          callback(bytes, buffer) {
            if (reason !== undefined || !stream) return false
            if (buffer === chunk) stream.onData(chunk.subarray(0, bytes))
            else stream.onPlaced(bytes)
            return true
          },
        },
      })
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
        open.add(socket)
        const opened: ByteStream = {
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
          place: () => undefined,
          onPlaced: () => {},
          onClose: () => {},
        }
        stream = opened
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
          opened.onClose(reason ?? 'closed by the peer')
        })
        resolve(opened)
      })
    })
  },
}
