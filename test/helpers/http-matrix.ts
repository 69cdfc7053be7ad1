/** A local matrix with an HTTP gateway on every node. */
import { HttpGateway } from '../../src/gateway-http/index.ts'
import type { MatrixFs } from '../../src/metadata/index.ts'
import { realClock } from '../../src/platform/real/clock.ts'
import type { HttpFixture } from '../suites/http-export.ts'
import { closeClient } from './http-client.ts'
import { makeLocalMatrix } from './local-matrix.ts'

export type HttpMatrix = HttpFixture & {
  readonly filesystems: readonly MatrixFs[]
  close(): Promise<void>
}

export async function makeHttpMatrix(options: { nodes: number; lunBytes?: number }): Promise<HttpMatrix> {
  const matrix = await makeLocalMatrix({ clock: 'real', ...options })
  const caller = { uid: 0, gid: 0, gids: [] }
  const filesystems = matrix.nodes.map(({ fs }) => fs)
  const gateways = filesystems.map(
    (fs) =>
      new HttpGateway({
        clock: realClock,
        exports: () => [
          { name: 'home', fs, caller },
          { name: 'frozen', fs, caller, readOnly: true, cacheControl: 'public, max-age=60' },
        ],
      }),
  )
  const addresses = await Promise.all(gateways.map((gateway) => gateway.listen('127.0.0.1', 0)))
  return {
    urls: addresses.map(({ url }) => url),
    fs: filesystems[0] as MatrixFs,
    filesystems,
    close: async () => {
      closeClient()
      await Promise.all(gateways.map((gateway) => gateway.close()))
      const findings = await matrix.check()
      await matrix.close()
      if (findings.length > 0) throw new Error(`the filesystem is not sound: ${JSON.stringify(findings)}`)
    },
  }
}
