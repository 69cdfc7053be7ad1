/** Byte streams to others, over TCP. */
import { createConnection } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import type { Dialer } from '../byte-stream.ts'
import { formatAddress } from '../transport.ts'
import { connectError } from './socket-errors.ts'
import { type SocketStream, socketStream } from './socket-stream.ts'

/** What is read at a time when the reader has no place of its own, bytes. */
const CHUNK_BYTES = 64 * 1024

export const realDialer: Dialer = {
  dial(address, limitMs) {
    return new Promise((resolve, reject) => {
      const where = formatAddress(address)
      let stream: SocketStream | undefined
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
      const socket = createConnection({
        ...{ host: address.host, port: address.port, noDelay: true, allowHalfOpen: true },
        onread: {
          buffer: () => stream?.place() ?? chunk,
          callback(bytes, buffer) {
            if (!stream || stream.ended) return false
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
        stream = socketStream(socket)
        resolve(stream)
      })
    })
  },
}
