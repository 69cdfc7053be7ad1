/** Byte streams to others through TLS. Whose certificate is shown does not matter: for those who ask whether anybody is there. */
import { isIP } from 'node:net'
import { connect } from 'node:tls'
import { MatrixError } from '../../base/errors.ts'
import type { ByteStream, Dialer } from '../byte-stream.ts'
import { formatAddress } from '../transport.ts'
import { connectError } from './socket-errors.ts'

export const tlsDialer: Dialer = {
  dial: (address, limitMs) =>
    new Promise((resolve, reject) => {
      const where = formatAddress(address)
      const servername = isIP(address.host) === 0 ? { servername: address.host } : {}
      const socket = connect({ host: address.host, port: address.port, rejectUnauthorized: false, ...servername })
      const fail = (error: MatrixError): void => {
        clearTimeout(limit)
        socket.destroy()
        reject(error)
      }
      const limit = setTimeout(
        () => fail(new MatrixError('timeout', `${where} did not finish a TLS handshake within ${limitMs} ms`)),
        limitMs,
      )
      socket.once('error', (error) => fail(connectError(where, error)))
      socket.once('secureConnect', () => {
        clearTimeout(limit)
        let reason = 'closed by the peer'
        const stream: ByteStream = {
          write: (buffers, onSent) => {
            const bytes = Buffer.concat(buffers)
            socket.write(bytes, (error) => {
              if (!error) onSent?.()
            })
          },
          reset: () => void socket.destroy(),
          place: () => undefined,
          onPlaced: () => {},
          onData: () => {},
          onClose: () => {},
        }
        socket.removeAllListeners('error')
        socket.on('data', (chunk) => stream.onData(chunk))
        socket.on('error', (error) => {
          reason = error.message
        })
        socket.on('close', () => stream.onClose(reason))
        resolve(stream)
      })
    }),
}
