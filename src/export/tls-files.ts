/** Certificate and key of a server, from two PEM files that may be replaced while it runs: what connects afterwards gets the new ones. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { MatrixError } from '../base/errors.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'

export type TlsFiles = { readonly cert: string; readonly key: string }
export type TlsOptions = { readonly cert: Buffer; readonly key: Buffer; readonly minVersion: 'TLSv1.2' }

const LOOK_AGAIN_MS = 1000

/** Throws MatrixError 'config' when they cannot be used, or do not belong together. */
export function readTls({ cert, key }: TlsFiles): TlsOptions {
  try {
    const options = { cert: readFileSync(cert), key: readFileSync(key), minVersion: 'TLSv1.2' } as const
    if (!new X509Certificate(options.cert).checkPrivateKey(createPrivateKey(options.key)))
      throw new Error('they do not belong together')
    return options
  } catch (cause) {
    throw new MatrixError('config', `${cert} and ${key} cannot be used as certificate and key: ${String(cause)}`, {
      cause,
    })
  }
}

/** Notices that the files have changed. */
class TlsWatch {
  readonly #files: TlsFiles
  readonly #clock: Clock
  readonly #log: Log
  #stamp: string
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(files: TlsFiles, clock: Clock, log: Log) {
    this.#files = files
    this.#clock = clock
    this.#log = log
    this.#stamp = stampOf(files)
  }

  /** What to use from now on; undefined when nothing has changed, or what is there now cannot be used (yet). */
  changed(): TlsOptions | undefined {
    const now = this.#clock.now()
    if (now - this.#lookedAt < LOOK_AGAIN_MS) return undefined
    this.#lookedAt = now
    const stamp = stampOf(this.#files)
    if (stamp === this.#stamp) return undefined
    try {
      const options = readTls(this.#files)
      this.#stamp = stamp
      this.#log.info({ cert: this.#files.cert }, 'a new certificate is used')
      return options
    } catch (error) {
      this.#log.warn({ error: String(error) }, 'the certificate stays as it was')
      return undefined
    }
  }
}

/** A server over TLS, as far as its certificate is concerned. */
type TlsListener = {
  on(event: 'connection', listener: () => void): unknown
  on(event: 'tlsClientError', listener: (error: Error, socket: { destroy(): unknown }) => void): unknown
  setSecureContext(options: TlsOptions): void
}

/** Whoever connects gets what the files have by then; whose handshake fails is let go. */
export function renewCertificate(server: TlsListener, files: TlsFiles, clock: Clock, log: Log): void {
  const watch = new TlsWatch(files, clock, log)
  server.on('connection', () => {
    const changed = watch.changed()
    if (changed) server.setSecureContext(changed)
  })
  server.on('tlsClientError', (_error, socket) => socket.destroy())
}

function stampOf({ cert, key }: TlsFiles): string {
  return [cert, key].map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0).join(' ')
}
