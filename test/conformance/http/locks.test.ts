/** WebDAV locks over real matrices of one, two and three nodes. */
import { suite } from 'uvu'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'
import { httpLocksSuite } from '../../suites/http-locks.ts'

for (const nodes of [1, 2, 3]) {
  const test = suite(`http locks, nodes: ${nodes}`)
  let matrix: HttpMatrix
  test.before(async () => void (matrix = await makeHttpMatrix({ nodes })))
  test.after(() => matrix.close())
  httpLocksSuite(test, () => matrix)
  test.run()
}
