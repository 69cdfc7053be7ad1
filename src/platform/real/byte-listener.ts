/**
 * Byte streams from others, over TCP. A peer that does not take what was sent to it is not read from until it does, so that what waits for it is
 * bounded by what it was answered at once.
 */
import { createServer } from 'node:net'
import { MatrixError } from '../../base/errors.ts'
import type { ByteListener } from '../byte-stream.ts'
import { formatAddress } from '../transport.ts'
import { socketStream } from './socket-stream.ts'

/** More than this unsent: the peer is not read from, bytes. */
const MAX_UNSENT = 8 * 1024 * 1024
const KEEP_ALIVE_MS = 30_000

export const realListener: ByteListener = {
  listen(address, accept) {
    return new Promise((resolve, reject) => {
      const server = createServer(
        { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
        (socket) => {
          const stream = socketStream(socket)
          const write = stream.write.bind(stream)
          stream.write = (buffers, onSent) => {
            write(buffers, onSent)
            if (socket.writableLength > MAX_UNSENT) socket.pause()
          }
          socket.on('drain', () => socket.resume())
          accept(stream)
        },
      )
      const where = formatAddress(address)
      const failed = (cause: NodeJS.ErrnoException): void => {
        const code = cause.code === 'EADDRINUSE' ? 'in-use' : 'config'
        reject(new MatrixError(code, `cannot listen on ${where}: ${cause.message}`, { cause }))
      }
      server.once('error', failed)
      server.listen(address.port, address.host, () => {
        server.off('error', failed)
        const bound = server.address()
        resolve({
          port: bound !== null && typeof bound === 'object' ? bound.port : address.port,
          close: () => new Promise((closed) => server.close(() => closed())),
        })
      })
    })
  },
}
