/** The file page over a real matrix of three, every request at the next node. */
// time limit: 180 s
import { suite } from 'uvu'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'
import { httpPageSuite } from '../../suites/http-page.ts'

const test = suite('file page over a matrix')
let matrix: HttpMatrix
test.before(async () => void (matrix = await makeHttpMatrix({ nodes: 3 })))
test.after(() => matrix.close())
httpPageSuite(test, () => matrix)
test.run()
