/** A local matrix with an NFS server on every node, and a client of each. */
import type { Incarnation } from '../../src/base/ids.ts'
import { Prng } from '../../src/base/prng.ts'
import type { ExportOptions } from '../../src/export/index.ts'
import { type LocalMatrix, type LocalMatrixOptions, makeLocalMatrix } from './local-matrix.ts'
import type { NfsClient, NfsUser } from './nfs-client.ts'
import { type Served, serve } from './nfs-served.ts'

export type NfsMatrix = {
  readonly matrix: LocalMatrix
  readonly served: readonly Served[]
  /** One client per node, as root. */
  readonly clients: readonly NfsClient[]
  /** Handle of the export's root: the same at every node. */
  readonly root: Buffer
  /** The client of a node drawn at random (but the same in every run): a case that uses it for every call holds on the matrix. */
  any(): NfsClient
  /** A client of a node drawn at random, as another user. */
  as(user: NfsUser): Promise<NfsClient>
  close(): Promise<void>
}

export async function makeNfsMatrix(
  options: Omit<LocalMatrixOptions, 'clock'> & {
    readonly nodes: number
    readonly exported?: Partial<ExportOptions>
    readonly clientPortmapPort?: number
  },
): Promise<NfsMatrix> {
  const { exported, clientPortmapPort, ...rest } = options
  const matrix = await makeLocalMatrix({ clock: 'real', ...rest })
  const served = await Promise.all(
    matrix.nodes.map(({ fs, slot }) =>
      serve(fs, {
        ...exported,
        life: { slot, incarnation: 1 as Incarnation },
        ...(clientPortmapPort !== undefined && { clientPortmapPort }),
      }),
    ),
  )
  const clients = await Promise.all(served.map((each) => each.connect()))
  const root = await clients[0]!.mount('/home')
  const prng = new Prng(42)
  return {
    ...{ matrix, served, clients, root },
    any: () => prng.pick(clients),
    as: (user) => prng.pick(served).connect(user),
    async close() {
      for (const each of served) await each.close()
      await matrix.close()
    },
  }
}
