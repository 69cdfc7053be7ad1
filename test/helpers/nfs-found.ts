/** A node that clients find by themselves, as they do in the field: all they know is its address and its port mapper. */
import type { ExportOptions } from '../../src/export/index.ts'
import { MOUNT_PROGRAM, MOUNT_V3, mountProcedures } from '../../src/gateway-nfs/mount/tables.ts'
import {
  IPPROTO_TCP,
  IPPROTO_UDP,
  PORTMAP_PROGRAM,
  PORTMAP_V2,
  portmapProcedures,
} from '../../src/gateway-nfs/portmap/tables.ts'
import { makeLocalMatrix } from './local-matrix.ts'
import { decodeWhole, encodeWith, NfsClient } from './nfs-client.ts'
import { type Served, serve } from './nfs-served.ts'
import { hostPortmapPort } from './nlm-host.ts'
import { RpcDatagrams } from './rpc-datagrams.ts'

export type FoundNode = {
  readonly served: Served
  readonly portmapPort: number
  /** Where hosts of the test have theirs. */
  readonly clientPortmapPort: number
  /** GETPORT by UDP, from an unprivileged port. */
  portByUdp(program: number, version: number, protocol: 'tcp' | 'udp'): Promise<number>
  /** GETPORT by TCP. */
  portByTcp(program: number, version: number, protocol: 'tcp' | 'udp'): Promise<number>
  /** A call of MOUNT by UDP at that port. */
  mountByUdp<N extends keyof typeof mountProcedures>(port: number, name: N, path?: string): Promise<unknown>
  close(): Promise<void>
}

export async function makeFoundNode(options: Partial<ExportOptions> = {}): Promise<FoundNode> {
  const matrix = await makeLocalMatrix({ clock: 'real', nodes: 1 })
  const clientPortmapPort = hostPortmapPort()
  const { fs } = matrix.nodes[0]!
  const served = await serve(fs, { ...options, clientPortmapPort, portmap: { mode: 'own', port: 0 } })
  const portmapPort = served.portmapPort as number
  const mapping = (program: number, version: number, protocol: 'tcp' | 'udp') => ({
    ...{ program, version, port: 0 },
    protocol: protocol === 'tcp' ? IPPROTO_TCP : IPPROTO_UDP,
  })
  return {
    ...{ served, portmapPort, clientPortmapPort },
    async portByUdp(program, version, protocol) {
      const datagrams = await RpcDatagrams.open(portmapPort)
      const asked = mapping(program, version, protocol)
      const port = await datagrams.ask(PORTMAP_PROGRAM, PORTMAP_V2, portmapProcedures.GETPORT, asked)
      datagrams.close()
      return port
    },
    async portByTcp(program, version, protocol) {
      const client = await NfsClient.connect(portmapPort)
      const { number, args, result } = portmapProcedures.GETPORT
      const bytes = encodeWith(args, mapping(program, version, protocol))
      const port = decodeWhole('GETPORT', await client.rpc(PORTMAP_PROGRAM, PORTMAP_V2, number, bytes), result)
      await client.close()
      return port
    },
    async mountByUdp(port, name, path = '') {
      const datagrams = await RpcDatagrams.open(port)
      datagrams.user = { uid: 0xfffffffe, gid: 0xfffffffe }
      const result = await datagrams.ask(MOUNT_PROGRAM, MOUNT_V3, mountProcedures[name] as never, path as never)
      datagrams.close()
      return result
    },
    async close() {
      await served.close()
      await matrix.close()
    },
  }
}
