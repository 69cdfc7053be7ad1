/** An NFS server over any filesystem on a free port, with the log it wrote, for tests. */
import { type Export, type ExportOptions, makeExport } from '../../src/export/index.ts'
import { NfsServer, type NfsServerOptions, type StatusRecord, type StatusStore } from '../../src/gateway-nfs/index.ts'
import type { MatrixFs } from '../../src/metadata/index.ts'
import type { Log, LogFields } from '../../src/platform/log.ts'
import { realClock } from '../../src/platform/real/clock.ts'
import { NfsClient, type NfsUser } from './nfs-client.ts'

export type LogLine = { readonly level: string; readonly message: string; readonly fields: LogFields }

function memoryLog(lines: LogLine[], base: LogFields = {}): Log {
  const at = (level: string) => (fields: LogFields, message: string) => {
    lines.push({ level, message, fields: { ...base, ...fields } })
  }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => memoryLog(lines, { ...base, ...fields }),
  }
}

/** A record of monitored clients in memory. */
export class MemoryStatus implements StatusStore {
  record: StatusRecord | undefined
  saves = 0
  async load(): Promise<StatusRecord | undefined> {
    return this.record
  }
  async save(record: StatusRecord): Promise<void> {
    this.saves++
    this.record = record
  }
}

export type Served = {
  readonly server: NfsServer
  readonly port: number
  readonly portmapPort: number | undefined
  readonly lines: LogLine[]
  /** May be replaced while it serves. */
  exports: readonly Export[]
  connect(user?: NfsUser | undefined, localPort?: number): Promise<NfsClient>
  close(): Promise<void>
}

/** Serves `fs` as /home to this machine, read-write and without squashing, unless told otherwise. */
export async function serve(
  fs: MatrixFs,
  options: Partial<ExportOptions> &
    Partial<
      Pick<NfsServerOptions, 'limits' | 'clock' | 'udp' | 'portmap' | 'status' | 'locksSurvive' | 'clientPortmapPort'>
    > = {},
): Promise<Served> {
  const {
    limits,
    clock = realClock,
    udp = false,
    portmap,
    status = new MemoryStatus(),
    locksSurvive = false,
    clientPortmapPort,
    ...exportOptions
  } = options
  const lines: LogLine[] = []
  const home = makeExport({ path: '/home', fs, clients: ['127.0.0.0/8'], squash: 'no_root_squash', ...exportOptions })
  const clients: NfsClient[] = []
  const server = new NfsServer({
    exports: () => served.exports,
    clock,
    udp,
    hostName: 'matrix',
    status,
    locksSurvive,
    ...(clientPortmapPort !== undefined && { clientPortmapPort }),
    ...(portmap && { portmap }),
    log: memoryLog(lines),
    ...(limits && { limits }),
  })
  const { port, portmapPort } = await server.listen('127.0.0.1', 0)
  const served: Served = {
    server,
    port,
    portmapPort,
    lines,
    exports: [home],
    async connect(user = { uid: 0, gid: 0 }, localPort) {
      const client = await NfsClient.connect(port, localPort === undefined ? {} : { localPort })
      client.user = user
      clients.push(client)
      return client
    },
    async close() {
      for (const client of clients) await client.close()
      await server.close()
    },
  }
  return served
}
