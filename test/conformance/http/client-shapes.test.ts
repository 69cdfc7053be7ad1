/** The ways of clients that cannot be run here, over a real matrix of three. */
import { suite } from 'uvu'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'
import { httpClientShapesSuite } from '../../suites/http-client-shapes.ts'

const test = suite('http client shapes')
let matrix: HttpMatrix
test.before(async () => void (matrix = await makeHttpMatrix({ nodes: 3 })))
test.after(() => matrix.close())
httpClientShapesSuite(test, () => matrix)
test.run()
