/**
 * The network of the mesh: TCP with TLS 1.2 and a pre-shared key (RFC 4279, RFC 5489). Both ends prove that they know the
 * matrix secret, and an ephemeral key exchange protects what was said before from whoever learns the secret later.
 *
 *   key       scrypt(secret, "matrixfs mesh 1 " + matrix name), 32 bytes
 *   identity  "matrixfs:" + matrix name: a node of another matrix is told apart from one with a wrong secret
 *   stream    frames, each after its length (frame-stream.ts)
 *
 * TLS 1.2, not 1.3, because Node offers pre-shared keys of one's own only there.
 *
 * Writing: the frames that are sent within one turn of the event loop leave in one write. `send` never blocks; a peer that
 * does not read makes a queue, and a queue beyond MAX_QUEUED_BYTES closes the connection.
 * Dropped and logged with a reason: a handshake that fails or takes too long, a length that cannot be, a stream cut off
 * within a frame.
 */
import { scryptSync } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type TLSSocket, connect as tlsConnect } from 'node:tls'
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import { MAX_MESSAGE_BYTES, MAX_SLOTS } from '../../base/limits.ts'
import type { Log } from '../log.ts'
import { type Connection, formatAddress, type Listener, type Transport } from '../transport.ts'
import { encodeFrames, FrameReader, LENGTH_BYTES } from './frame-stream.ts'
import { connectError } from './socket-errors.ts'

/** What may wait for a peer that does not read, bytes. Four of the longest messages: more means that it hangs. */
export const MAX_QUEUED_BYTES = 4 * MAX_MESSAGE_BYTES
/** Connections a listener holds at once: both ends of every pair may dial, and again while an old one is closing. */
const MAX_CONNECTIONS = 4 * MAX_SLOTS
/** Ciphers with an ephemeral key exchange authenticated by the key; all others are refused. */
const CIPHERS = 'ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES256-CBC-SHA384'
/** TCP asks an idle peer for a sign of life after this long, ms; the mesh's own heartbeats are faster. */
const KEEP_ALIVE_MS = 10_000

export type TcpTransportOptions = {
  /** Known to every node of the matrix and to nobody else. */
  readonly secret: string | Uint8Array
  readonly matrixName: string
  readonly log: Log
  /** A connection is established and authenticated within this time or dropped, ms. */
  readonly handshakeMs?: number
}

export function createTcpTransport({ secret, matrixName, log, handshakeMs = 5_000 }: TcpTransportOptions): Transport {
  if (secret.length === 0) throw new MatrixError('config', 'the matrix secret is empty')
  const psk = scryptSync(secret, `matrixfs mesh 1 ${matrixName}`, 32)
  const identity = `matrixfs:${matrixName}`
  const common = {
    ciphers: CIPHERS,
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
    ecdhCurve: 'X25519:prime256v1',
  } as const

  return {
    listen(address, accept) {
      const sockets = new Set<Socket>()
      const server = createServer({
        ...common,
        handshakeTimeout: handshakeMs,
        pskCallback(socket, theirs) {
          if (theirs === identity) return psk
          log.warn({ from: remoteOf(socket), identity: theirs.slice(0, 80) }, 'peer is of another matrix')
          return null
        },
      })
      server.maxConnections = MAX_CONNECTIONS
      // closing a listener ends what was accepted but not handed over yet, so that it need not wait for a handshake
      server.on('connection', (socket: Socket) => {
        sockets.add(socket)
        socket.on('close', () => sockets.delete(socket))
      })
      server.on('secureConnection', (socket) => accept(wrap(socket, remoteOf(socket), log)))
      server.on('tlsClientError', (error, socket) => {
        log.warn({ from: remoteOf(socket), reason: explain(error) }, 'connection dropped: not authenticated')
        socket.destroy()
      })
      return new Promise<Listener>((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => {
          const where = formatAddress(address)
          if (error.code === 'EADDRINUSE') {
            reject(
              new MatrixError('in-use', `port of the mesh ${where} is in use by another process`, { cause: error }),
            )
          } else reject(new MatrixError('config', `cannot listen on ${where}: ${error.message}`, { cause: error }))
        })
        server.listen({ host: address.host, port: address.port }, () => {
          server.removeAllListeners('error')
          server.on('error', (error) => log.error({ error: error.message }, 'listener of the mesh failed'))
          const bound = server.address()
          assert(bound !== null && typeof bound === 'object', 'a TCP listener has an address')
          resolve({
            port: bound.port,
            close: () =>
              new Promise<void>((closed) => {
                server.close(() => closed())
                for (const socket of sockets) socket.destroy()
              }),
          })
        })
      })
    },

    connect(address) {
      return new Promise<Connection>((resolve, reject) => {
        const where = formatAddress(address)
        const socket = tlsConnect({
          ...common,
          host: address.host,
          port: address.port,
          checkServerIdentity: () => undefined, // the key has proved it; there are no certificates
          pskCallback: () => ({ psk, identity }),
        })
        const fail = (error: MatrixError) => {
          clearTimeout(deadline)
          socket.destroy()
          reject(error)
        }
        const deadline = setTimeout(
          () => fail(new MatrixError('timeout', `${where} did not complete a handshake within ${handshakeMs} ms`)),
          handshakeMs,
        )
        socket.once('secureConnect', () => {
          clearTimeout(deadline)
          socket.removeAllListeners('error')
          socket.removeAllListeners('close')
          resolve(wrap(socket, where, log))
        })
        socket.once('error', (error: NodeJS.ErrnoException) => fail(connectError(where, error, explain)))
        socket.once('close', () =>
          fail(new MatrixError('protocol', `${where} closed the connection during the handshake`)),
        )
      })
    },
  }
}

/** A connected, authenticated socket as a `Connection`. */
function wrap(socket: TLSSocket, remote: string, log: Log): Connection {
  let queue: Uint8Array[] = []
  let queuedBytes = 0
  let scheduled = false
  let reason: string | undefined

  const connection: Connection = {
    send(frame) {
      assert(frame.length > 0 && frame.length <= MAX_MESSAGE_BYTES, `frame of ${frame.length} bytes`)
      if (reason !== undefined) return
      queue.push(frame)
      queuedBytes += frame.length + LENGTH_BYTES
      if (queuedBytes + socket.writableLength > MAX_QUEUED_BYTES) {
        log.warn(
          { peer: remote, queuedBytes: queuedBytes + socket.writableLength },
          'connection dropped: peer does not read',
        )
        end('the peer does not read')
      } else if (!scheduled) {
        scheduled = true
        setImmediate(flush)
      }
    },
    close: () => end('closed here'),
    onFrame: () => {},
    onClose: () => {},
  }

  function flush() {
    scheduled = false
    if (reason !== undefined) return
    const buffers = encodeFrames(queue)
    queue = []
    queuedBytes = 0
    socket.cork()
    for (const buffer of buffers) socket.write(buffer)
    socket.uncork()
  }

  function end(why: string) {
    if (reason !== undefined) return
    reason = why
    queue = []
    socket.destroy()
  }

  const reader = new FrameReader((frame) => {
    if (reason === undefined) connection.onFrame(frame)
  })
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_MS)
  socket.on('data', (chunk: Buffer) => {
    if (reason !== undefined) return
    try {
      reader.push(chunk)
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      log.warn({ peer: remote, reason: error.message }, 'connection dropped: malformed stream')
      end(error.message)
    }
  })
  socket.on('end', () => {
    if (reader.midFrame) log.warn({ peer: remote }, 'connection ended within a frame')
    end('closed by the peer')
  })
  socket.on('error', (error: NodeJS.ErrnoException) => end(explain(error)))
  socket.on('close', () => {
    reason ??= 'closed by the peer'
    connection.onClose(reason)
  })
  return connection
}

/** What OpenSSL's words mean here. */
function explain(error: NodeJS.ErrnoException): string {
  const code = error.code ?? ''
  if (/DECRYPT|BAD_RECORD_MAC|DIGEST_CHECK/.test(code)) return 'the matrix secrets differ'
  if (/PSK_IDENTITY|UNKNOWN_PSK/.test(code)) return 'the peer is of another matrix'
  if (
    /WRONG_VERSION|HTTP_REQUEST|UNKNOWN_PROTOCOL|UNSUPPORTED_PROTOCOL|NO_SHARED_CIPHER|UNEXPECTED_MESSAGE/.test(code)
  ) {
    return `not a node of a matrix (${code})`
  }
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'no handshake within its time'
  return code ? `${error.message} (${code})` : error.message
}

function remoteOf(socket: Socket): string {
  return socket.remoteAddress ? formatAddress({ host: socket.remoteAddress, port: socket.remotePort ?? 0 }) : 'unknown'
}
