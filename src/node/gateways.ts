/**
 * What one node serves to others: NFS, HTTP, local mounts, and the admin plane that tells of it. Exports are of filesystems that are in service, and change
 * while it serves (served-exports.ts).
 */
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { type ConfiguredHttp, formatAddress, type MatrixdConfig } from '../../config/index.ts'
import { type AdminHost, AdminPlane, type AuditLog, type GatewaysReport, type LogTail } from '../admin/index.ts'
import { MatrixError } from '../base/errors.ts'
import { Authenticator, HostNames, JwtVerifier, UserGroups, Users } from '../export/index.ts'
import { HttpGateway } from '../gateway-http/index.ts'
import { NfsServer, type TlsMaterial, TlsOffer } from '../gateway-nfs/index.ts'
import type { Log, Subsystem } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { realNames } from '../platform/real/names.ts'
import { realPrograms } from '../platform/real/programs.ts'
import type { Mount, TimelineEntry } from '../recovery/index.ts'
import { type AddressedGateway, FilesystemMonitor } from '../services/index.ts'
import { adminHost } from './admin-host.ts'
import type { NodeCore } from './core.ts'
import { LocalMounts } from './local-mounts.ts'
import { ServedExports } from './served-exports.ts'

/** How often it is looked whether a filesystem has come into service, ms. */
const SERVING_POLL_MS = 50

/** What the admin plane shows of what has been, and whom it asks for the rest. */
export type AdminSources = {
  readonly logTail: LogTail
  readonly formerly: readonly TimelineEntry[]
  readonly order: AdminHost['order']
  readonly audit: AuditLog
  readonly replications: AdminHost['replications']
}

export class Gateways {
  readonly #config: MatrixdConfig
  readonly #core: NodeCore
  readonly #log: Log
  readonly exports: ServedExports
  readonly #nfs: NfsServer | undefined
  readonly #tls: TlsOffer | undefined
  #http: HttpGateway | undefined
  readonly mounts: LocalMounts
  readonly filesystems: FilesystemMonitor
  readonly admin: AdminPlane

  constructor(config: MatrixdConfig, core: NodeCore, log: Log, sources: AdminSources) {
    this.#config = config
    this.#core = core
    const of = (subsystem: Subsystem) => log.child({ subsystem })
    const nfs = of('nfs')
    this.#log = of('http')
    const filesystems = () => core.mounts.map(({ fs }) => fs)
    this.exports = new ServedExports({
      ...{ config, log },
      known: async () => (await core.readDatabase()).filesystems,
      prepare: async (exports) => this.#nfs?.learnNames(exports),
      renew: ({ nfs }) => this.#renewCertificates(nfs?.tls),
    })
    if (config.nfs?.tls) this.#tls = new TlsOffer(materialOf(config.nfs.tls), nfs)
    if (config.nfs)
      this.#nfs = new NfsServer({
        ...{ exports: () => this.exports.nfs, log: nfs, clock: realClock },
        ...{ udp: config.nfs.udp, portmap: config.nfs.portmap },
        ...{ hostName: hostname(), life: core.life },
        tls: this.#tls,
        hosts: new HostNames({ service: realNames, clock: realClock, log: nfs }),
        ...(config.nfs.groups === 'server' && {
          groups: new UserGroups({ programs: realPrograms, clock: realClock, log: nfs }),
        }),
      })
    this.mounts = new LocalMounts({ filesystems, clock: realClock, log: of('mount') })
    this.filesystems = new FilesystemMonitor({
      ...{ wanted: config.mounts, clock: realClock, publish: (news) => core.events.publish(news) },
      serviceOf: (name) => {
        const state = core.mounts.find(({ record }) => record.name === name)?.state ?? 'withdrawn'
        return state === 'serving' ? 'serving' : state === 'withdrawn' ? 'ended' : 'pausing'
      },
      isMounted: ({ directory }) =>
        this.mounts.list.some((each) => each.directory === directory || each.requested === directory),
      mount: ({ filesystem, directory }) => this.mounts.mount(filesystem, directory),
      unmount: ({ directory }) => this.mounts.unmount(directory, true),
    })
    this.admin = new AdminPlane(
      adminHost(config, core, { ...sources, log: of('admin'), gateways: () => this.#report(), mounts: this.mounts }),
    )
  }

  /** Before anything is served: it shows what is waited for. */
  async listenAdmin(): Promise<void> {
    const { admin } = this.#config
    if (admin) await this.admin.listen(admin)
  }

  /** Once the node serves: what its workers do is served by it. */
  beginJobs(): void {
    if (this.#config.admin) this.admin.jobs.begin()
  }

  /** Gives those that can serve at further addresses. */
  async listen(): Promise<readonly AddressedGateway[]> {
    const addressed: AddressedGateway[] = []
    const { nfs, http, mounts } = this.#config
    for (const { fs } of this.#core.mounts) this.exports.add(fs)
    await this.exports.begin()
    if (nfs && this.#nfs) {
      await this.#nfs.listen(nfs.listen.host, nfs.listen.port)
      addressed.push(this.#nfs)
    }
    if (http) {
      this.#http = new HttpGateway({
        ...{ exports: () => this.exports.http, log: this.#log, clock: realClock },
        corsOrigins: http.corsOrigins,
        ...(http.tls && { tls: http.tls }),
        ...(http.users !== undefined && { authenticator: authenticatorOf(http, http.users, this.#config, this.#log) }),
      })
      await this.#http.listen(http.listen.host, http.listen.port)
      addressed.push(this.#http)
    }
    for (const { filesystem, directory } of mounts)
      if (!(await this.exports.isInError(filesystem))) await this.mounts.mount(filesystem, directory)
    this.filesystems.begin()
    return addressed
  }

  /** A filesystem was opened while the node runs, because it is no longer in error: it is exported once it serves, and mounted by `filesystems`. */
  opened(mount: Mount): void {
    const { fs } = mount
    const looking = realClock.every(SERVING_POLL_MS, () => {
      if (mount.state !== 'serving' && mount.state !== 'withdrawn') return
      looking.cancel()
      if (mount.state === 'withdrawn') return
      this.exports.add(fs)
      void this.exports.begin().catch((error) => this.#log.error({ error: String(error) }, 'exports stay as they were'))
    })
  }

  /** Whether TLS is offered at all is decided at the start. */
  #renewCertificates(tls: NonNullable<MatrixdConfig['nfs']>['tls']): void {
    if (tls && !this.#tls)
      throw new MatrixError('config', 'nfs.tls_certificate is new: TLS is offered only after a restart of matrixd')
    if (tls) this.#tls?.renew(materialOf(tls))
  }

  /** What was counted, by protocol; null where it is not served. */
  counters() {
    return { nfs: this.#nfs?.stats() ?? null, http: this.#http?.stats() ?? null }
  }

  /** What is served here, for the admin plane. */
  #report(): GatewaysReport {
    const { admin, nfs, http } = this.#config
    const counted = this.counters()
    return {
      admin: admin ? formatAddress(admin.listen) : null,
      nfs: nfs && counted.nfs ? { address: formatAddress(nfs.listen), ...counted.nfs } : null,
      http: http && counted.http ? { address: formatAddress(http.listen), ...counted.http } : null,
      exports: this.exports.configured.map(({ path, filesystem, clients, access, squash }) => ({
        ...{ path, filesystem, clients: [...clients], access, squash },
      })),
      mounts: this.mounts.list.map(({ filesystem, directory }) => ({ filesystem, directory })),
      keptMounts: this.filesystems.look(),
    }
  }

  /** The node has halted: nothing of it may be answered any more. */
  abandon(): void {
    void this.admin.close()
    this.filesystems.stop()
    this.mounts.abandon()
    this.#nfs?.abandon()
    this.#http?.abandon()
  }

  async close(): Promise<void> {
    this.filesystems.stop()
    await Promise.all([this.#nfs?.close(), this.#http?.close(), this.mounts.close(), this.admin.close()])
  }
}

/** Throws MatrixError 'config' when a file cannot be read any more. */
function materialOf(tls: NonNullable<NonNullable<MatrixdConfig['nfs']>['tls']>): TlsMaterial {
  const read = (path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (cause) {
      throw new MatrixError('config', `${path}: ${String(cause)}`, { cause })
    }
  }
  const { certificate, key, clientCa } = tls
  return { certificate: read(certificate), key: read(key), ...(clientCa !== undefined && { clientCa: read(clientCa) }) }
}

function authenticatorOf(http: ConfiguredHttp, file: string, { matrix }: MatrixdConfig, log: Log): Authenticator {
  const clock = realClock
  return new Authenticator({
    ...{ clock, log, realm: matrix.name, insecure: http.insecureLogins },
    users: new Users(file, clock, log),
    jwt: http.bearer && new JwtVerifier(http.bearer, clock, log),
  })
}
