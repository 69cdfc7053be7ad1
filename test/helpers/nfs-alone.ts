/**
 * An NFS server over a filesystem in memory as a process of its own, for tests in which real programs look at it in a network
 * namespace: `nfs-alone.ts HOST PORT PORTMAP-MODE`. Says `serves` when it does; SIGTERM closes it.
 */
import type { Incarnation, Slot } from '../../src/base/ids.ts'
import { makeExport } from '../../src/export/index.ts'
import { NfsServer, PORTMAP_PORT, type PortmapMode } from '../../src/gateway-nfs/index.ts'
import type { Log } from '../../src/platform/log.ts'
import { realClock } from '../../src/platform/real/clock.ts'
import { MemoryFs } from './memory-fs.ts'

const [host = '127.0.0.1', port = '2049', mode = 'auto'] = process.argv.slice(2)
const say = (fields: object, message: string) => console.log(`${message} ${JSON.stringify(fields)}`)
const log: Log = { debug() {}, info: say, warn: say, error: say, child: () => log }
const { fs } = new MemoryFs()
const exports = [makeExport({ path: '/home', fs, clients: ['127.0.0.0/8', '10.0.0.0/8'], squash: 'no_root_squash' })]
const server = new NfsServer({
  ...{
    exports: () => exports,
    clock: realClock,
    log,
    hostName: 'matrix',
    udp: true,
    life: { slot: 0 as Slot, incarnation: 1 as Incarnation },
  },
  portmap: { mode: mode as PortmapMode, port: PORTMAP_PORT },
})
await server.listen(host, Number(port))
console.log('serves')
process.on('SIGTERM', () => void server.close())
