/** The shared suite over real matrices: every request goes to the next node. */
import { suite } from 'uvu'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'
import { httpExportSuite } from '../../suites/http-export.ts'

for (const nodes of [1, 3]) {
  const test = suite(`http over a matrix of ${nodes}`)
  let matrix: HttpMatrix
  test.before(async () => void (matrix = await makeHttpMatrix({ nodes })))
  test.after(() => matrix.close())
  httpExportSuite(test, () => matrix)
  test.run()
}
