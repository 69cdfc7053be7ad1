/**
 * RPC-with-TLS (RFC 9289): on the port on which RPC is spoken in the clear, a client may ask for TLS.
 *
 *     client                                             server
 *     call of NULL, flavor AUTH_TLS (7), nothing else ─►
 *                                                     ◄─ accepted, verifier AUTH_NONE with "STARTTLS"
 *     ClientHello, ALPN "sunrpc", TLS 1.3             ─►
 *                                                     ◄─ … handshake; then RPC records as before, encrypted
 *
 * Rules: AUTH_TLS in any other call, or within TLS, or where TLS is not offered, is denied with AUTH_BADCRED (4.1), and a client goes on in the
 * clear if it may. What comes in the clear between probe and handshake ends the connection (5.1.1). A client's certificate is asked for and not
 * demanded: whether one is necessary is the export's affair, and so is whether TLS is. Who a *user* is it never says (4.2).
 */
import type { Socket } from 'node:net'
import { createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls'
import { MatrixError } from '../../base/errors.ts'
import type { Log } from '../../platform/log.ts'

const AUTH_NONE = 0
const AUTH_TLS = 7
const PROTOCOL = 'sunrpc'
/** From the probe's answer to the end of the handshake, ms. */
const HANDSHAKE_LIMIT_MS = 10_000
/** A call without credential, verifier and arguments. */
const PROBE_BYTES = 40

/** Certificates as PEM. */
export type TlsMaterial = {
  readonly certificate: Buffer
  readonly key: Buffer
  /** Whose certificates of clients count; without it none does. */
  readonly clientCa?: Buffer
}

/** How well a connection is protected: not; encrypted; encrypted, with a client that has shown a certificate of the CA. */
export type Secured = { readonly socket: TLSSocket; readonly security: 'tls' | 'mutual' }

type Waiting = { resolve(secured: Secured): void; reject(error: Error): void; why?: Error }

/** The xid of a call that asks for TLS; undefined when it is any other. */
export function tlsProbe(bytes: Buffer, start: number, end: number): number | undefined {
  if (end - start !== PROBE_BYTES) return undefined
  const word = (index: number) => bytes.readUInt32BE(start + 4 * index)
  const isNull = word(1) === 0 && word(2) === 2 && word(5) === 0
  const isProbe = word(6) === AUTH_TLS && word(7) === 0 && word(8) === AUTH_NONE && word(9) === 0
  return isNull && isProbe ? word(0) : undefined
}

export class TlsOffer {
  readonly #server: Server
  readonly #waiting = new Map<string, Waiting>()
  #material: TlsMaterial

  /** Throws MatrixError 'config' for what are no certificates. */
  constructor(material: TlsMaterial, log: Log) {
    this.#material = material
    this.#server = createServer({
      ...contextOf(material),
      ALPNProtocols: [PROTOCOL],
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_LIMIT_MS,
      pauseOnConnect: true,
    })
    this.#server.on('secureConnection', (socket) => this.#secured(socket))
    this.#server.on('tlsClientError', (error, socket) => {
      const waiting = this.#waiting.get(keyOf(socket))
      if (waiting) waiting.why = error
      log.debug({ reason: error.message }, 'a TLS handshake failed')
      socket.destroy()
    })
  }

  /** Other certificates from now on; sessions that there are go on. Throws MatrixError 'config', and nothing has changed. */
  renew(material: TlsMaterial): void {
    this.#server.setSecureContext(contextOf(material))
    this.#material = material
  }

  /** The handshake on a connection whose probe was answered. It is nobody else's from now on. Rejects when it fails. */
  secure(socket: Socket): Promise<Secured> {
    const key = keyOf(socket)
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { resolve, reject }
      this.#waiting.set(key, waiting)
      socket.once('close', () => {
        if (this.#waiting.get(key) !== waiting) return
        this.#waiting.delete(key)
        reject(waiting.why ?? new Error('the connection was closed within the handshake'))
      })
      socket.allowHalfOpen = false // who goes away within the handshake is gone
      this.#server.emit('connection', socket)
    })
  }

  #secured(socket: TLSSocket): void {
    const key = keyOf(socket)
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    if (!waiting || socket.alpnProtocol !== PROTOCOL) {
      waiting?.reject(new Error(`the client does not offer the protocol "${PROTOCOL}"`))
      socket.destroy()
      return
    }
    socket.allowHalfOpen = true
    waiting.resolve({ socket, security: socket.authorized && this.#material.clientCa ? 'mutual' : 'tls' })
  }
}

/** What both a socket and the TLS session on it say of themselves. */
function keyOf({ remoteAddress, remotePort, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localPort}`
}

function contextOf({ certificate: cert, key, clientCa: ca }: TlsMaterial) {
  const context = { cert, key, ...(ca && { ca }), minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
  try {
    createSecureContext(context)
  } catch (cause) {
    throw new MatrixError('config', `the certificates for RPC-with-TLS cannot be used: ${String(cause)}`, { cause })
  }
  return context
}
