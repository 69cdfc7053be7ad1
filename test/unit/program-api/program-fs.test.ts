/** One suite of `fs` calls: on `node:fs` itself, on a matrix over NFS from two nodes, and within matrixd. */
import nodeFs, { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  DirectClient,
  MatrixFileSystem,
  type MountedMatrix,
  mountFileSystem,
  mountMatrix,
} from '../../../src/program-api/index.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'
import { type ProgramFs, programFs } from '../../suites/program-fs.ts'

const root = { uid: 0, gid: 0 }

programFs('node:fs', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'program-fs-'))
  return { fs: nodeFs, dir, close: async () => rmSync(dir, { recursive: true }) }
})

programFs('a matrix over NFS', async () => {
  const matrix = await makeNfsMatrix({ nodes: 2 })
  const mounted = await mountMatrix({ url: `nfs://127.0.0.1:${matrix.served[1]?.port}/home`, user: root })
  return {
    fs: programFsOf(mounted),
    dir: '',
    async close() {
      await mounted.close()
      await matrix.close()
    },
  }
})

programFs('a matrix within matrixd', async () => {
  const matrix = await makeLocalMatrix({ clock: 'real', nodes: 2 })
  const client = await DirectClient.open(matrix.nodes[0]!.fs)
  const mounted = mountFileSystem(new MatrixFileSystem(client), root)
  return { fs: programFsOf(mounted), dir: '', close: () => matrix.close() }
})

function programFsOf({ fs }: MountedMatrix): ProgramFs {
  return fs as unknown as ProgramFs
}
