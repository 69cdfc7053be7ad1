/**
 * What this node exports now, and how that changes while it serves: the `[[exports]]` of the configuration file are read again, checked, and take the
 * place of the former ones within one turn of the event loop. When anything in the file is wrong, all stays as it was.
 */
import { type ConfiguredExport, loadConfig, type MatrixdConfig } from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import { directoryBelow, type Export, makeExport, type Security, type Squash } from '../export/index.ts'
import type { HttpExport } from '../gateway-http/index.ts'
import type { MatrixFs } from '../metadata/index.ts'
import type { Log } from '../platform/index.ts'

export type ServedExportsOptions = {
  readonly config: MatrixdConfig
  /** Filesystems of the matrix, as its database has them; with `error` they are out of service. */
  readonly known: () => Promise<readonly { readonly name: string; readonly error?: string | undefined }[]>
  /** Waited for before exports become the ones that count. */
  readonly prepare: (exports: readonly Export[]) => Promise<void>
  /** The file was read again and is right: what of it, beside exports, is used at once. Throws MatrixError 'config', and nothing is. */
  readonly renew: (config: MatrixdConfig) => void
  readonly log: Log
}

/** One export, for people. */
export type ShownExport = {
  readonly path: string
  readonly filesystem: string
  readonly directory: string
  readonly clients: string[]
  readonly options: string
}

const squashNames: Record<'root' | 'all' | 'none', Squash> = {
  root: 'root_squash',
  all: 'all_squash',
  none: 'no_root_squash',
}

const securities: Record<ConfiguredExport['tls'], Security> = { optional: 'none', required: 'tls', mutual: 'mutual' }

export class ServedExports {
  readonly #options: ServedExportsOptions
  #configured: readonly ConfiguredExport[]
  /** Filesystems that have come into service here, by name: the latest mount of each. */
  readonly #served = new Map<string, MatrixFs>()
  /** The same array while nothing changes. */
  nfs: readonly Export[] = []
  http: readonly HttpExport[] = []

  constructor(options: ServedExportsOptions) {
    this.#options = options
    this.#configured = options.config.exports
  }

  /** It is in service here, perhaps again; counts from the next `begin` or `reload` on. */
  add(fs: MatrixFs): void {
    this.#served.set(fs.name, fs)
  }

  /** Whether a filesystem is out of service, and not only unknown. */
  async isInError(filesystem: string): Promise<boolean> {
    if (this.#served.has(filesystem)) return false
    return (await this.#options.known()).some(({ name, error }) => name === filesystem && error !== undefined)
  }

  /** What the configuration says, of filesystems that are in service. Rejects with MatrixError 'config'. */
  async begin(): Promise<void> {
    await this.#use(this.#configured)
  }

  /** Reads the file again. Rejects with MatrixError 'config', and nothing has changed. Gives the tables that differ and need a restart. */
  async reload(): Promise<readonly string[]> {
    const { config, log, renew } = this.#options
    const fresh = loadConfig(config.file)
    await this.#use(fresh.exports, () => renew(fresh))
    this.#configured = fresh.exports
    const restart = (Object.keys(fresh) as (keyof MatrixdConfig)[]).filter(
      (table) =>
        table !== 'exports' && JSON.stringify(withoutTls(fresh[table])) !== JSON.stringify(withoutTls(config[table])),
    )
    log.info({ exports: fresh.exports.map(({ path }) => path), restart }, 'exports were read again')
    return restart
  }

  /** As the configuration has them now. */
  get configured(): readonly ConfiguredExport[] {
    return this.#configured
  }

  list(): ShownExport[] {
    return this.#configured.map(
      ({ path, filesystem, directory = '/', clients, access, squash, privilegedPorts, tls }) => ({
        ...{ path, filesystem, directory, clients: [...clients] },
        options: [
          access,
          `squash ${squash}`,
          ...(privilegedPorts ? ['privileged ports'] : []),
          ...(tls === 'optional' ? [] : [`TLS ${tls}`]),
        ].join(', '),
      }),
    )
  }

  /** `last`: just before they count; what it throws keeps the former ones. */
  async #use(configured: readonly ConfiguredExport[], last = () => {}): Promise<void> {
    const { config, prepare } = this.#options
    const known = await this.#options.known()
    const served = configured.flatMap((exported) => {
      const fs = this.#filesystem(exported, known)
      return fs ? [{ exported, fs }] : []
    })
    const nfs = served.map(({ exported, fs }) =>
      makeExport({
        ...exported,
        fs,
        squash: squashNames[exported.squash],
        secret: config.matrix.secret,
        security: securities[exported.tls],
      }),
    )
    await Promise.all(nfs.map((exported) => this.#findRoot(exported)))
    if (config.nfs) await prepare(nfs)
    const { uid, gid } = config.http ?? { uid: 0, gid: 0 }
    const http = served.flatMap(({ exported, fs }) => {
      const [name, ...more] = exported.path.slice(1).split('/')
      if (name === undefined || more.length > 0 || exported.directory !== undefined) return []
      const { access, anonymous, cacheControl } = exported
      return [{ name, fs, caller: { uid, gid, gids: [] }, readOnly: access === 'ro', anonymous, cacheControl }]
    })
    last()
    this.nfs = nfs
    this.http = http
  }

  /** Undefined while it is out of service. Throws MatrixError 'config' when the matrix has none of this name. */
  #filesystem(
    { path, filesystem }: ConfiguredExport,
    known: Awaited<ReturnType<ServedExportsOptions['known']>>,
  ): MatrixFs | undefined {
    const fs = this.#served.get(filesystem)
    if (fs) return fs
    const record = known.find(({ name }) => name === filesystem)
    if (!record) {
      const names = known.map(({ name }) => name).join(', ') || 'none'
      throw new MatrixError('config', `export ${path}: the matrix has no filesystem "${filesystem}" (it has: ${names})`)
    }
    const { error } = record
    this.#options.log.error({ path, filesystem, error }, 'an export is not served: its filesystem is out of service')
    return undefined
  }

  /** Of a part of a filesystem. One that is not there yet is found when it is mounted. */
  async #findRoot(exported: Export): Promise<void> {
    if (exported.root !== undefined) return
    await directoryBelow(exported, []).catch((error) => {
      const { path, directory } = exported
      this.#options.log.warn(
        { path, directory: `/${directory.join('/')}`, error: String(error) },
        'the directory of an export cannot be used: whoever mounts it is told so until it is there',
      )
    })
  }
}

/** Certificates are used at once. */
function withoutTls(table: unknown): unknown {
  if (typeof table !== 'object' || table === null || !('tls' in table)) return table
  return { ...table, tls: table.tls !== undefined }
}
