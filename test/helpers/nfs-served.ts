/** An NFS server over any filesystem on a free port, with the log it wrote, for tests. */
import type { Incarnation, Slot } from '../../src/base/ids.ts'
import { type Export, type ExportOptions, makeExport } from '../../src/export/index.ts'
import { NfsServer, type NfsServerOptions } from '../../src/gateway-nfs/index.ts'
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

export type Served = {
  readonly server: NfsServer
  readonly port: number
  readonly portmapPort: number | undefined
  readonly lines: LogLine[]
  /** May be replaced while it serves. */
  exports: readonly Export[]
  connect(user?: NfsUser | undefined, from?: { localAddress: string; localPort?: number }): Promise<NfsClient>
  close(): Promise<void>
}

/** Serves `fs` as /home to this machine, read-write and without squashing, unless told otherwise. */
export async function serve(
  fs: MatrixFs,
  options: Partial<ExportOptions> &
    Partial<
      Pick<
        NfsServerOptions,
        'limits' | 'clock' | 'udp' | 'portmap' | 'life' | 'clientPortmapPort' | 'hosts' | 'groups' | 'tls'
      >
    > = {},
): Promise<Served> {
  const {
    limits,
    clock = realClock,
    udp = false,
    portmap,
    life = { slot: 0 as Slot, incarnation: 1 as Incarnation },
    clientPortmapPort,
    hosts,
    groups,
    tls,
    ...exportOptions
  } = options
  const lines: LogLine[] = []
  const home = makeExport({ path: '/home', fs, clients: ['127.0.0.0/8'], squash: 'no_root_squash', ...exportOptions })
  const clients: NfsClient[] = []
  let exported: readonly Export[] = [home]
  const server = new NfsServer({
    exports: () => exported,
    clock,
    udp,
    hostName: 'matrix',
    life,
    ...(clientPortmapPort !== undefined && { clientPortmapPort }),
    ...(portmap && { portmap }),
    log: memoryLog(lines),
    ...(limits && { limits }),
    ...(hosts && { hosts }),
    ...(groups && { groups }),
    ...(tls && { tls }),
  })
  const { port, portmapPort } = await server.listen('127.0.0.1', 0)
  const served: Served = {
    server,
    port,
    portmapPort,
    lines,
    get exports() {
      return exported
    },
    set exports(list) {
      exported = list
    },
    async connect(user = { uid: 0, gid: 0 }, from) {
      const client = await NfsClient.connect(port, from)
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
