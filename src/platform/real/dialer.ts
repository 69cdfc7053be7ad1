/** Byte streams over TCP. What is written within one turn of the event loop leaves in one write. */
import { createConnection } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import type { ByteStream, Dialer } from '../byte-stream.ts'
import { connectError, formatAddress } from './socket-errors.ts'

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
        let corked = false
        let reason: string | undefined
        const stream: ByteStream = {
          write(buffers) {
            if (reason !== undefined) return
            if (!corked) {
              corked = true
              socket.cork()
              setImmediate(() => {
                corked = false
                socket.uncork()
              })
            }
            for (const buffer of buffers) socket.write(buffer)
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
        socket.on('close', () => stream.onClose(reason ?? 'closed by the peer'))
        resolve(stream)
      })
    })
  },
}
