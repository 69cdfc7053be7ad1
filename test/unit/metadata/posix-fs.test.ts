/** The POSIX suite on one node, and on three with every call at another node: what one did the next sees (R17, R19). */
import { Prng } from '../../../src/base/prng.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { type PosixTarget, posixSuite } from '../../suites/posix-fs.ts'

async function target(nodes: number): Promise<PosixTarget> {
  const matrix = await makeLocalMatrix({ nodes })
  const prng = new Prng(nodes)
  return { fs: () => prng.pick(matrix.nodes).fs, check: () => matrix.check(), close: () => matrix.close() }
}

posixSuite('posix on one node', () => target(1)).run()
posixSuite('posix on three nodes', () => target(3)).run()
