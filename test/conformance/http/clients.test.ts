/** Programs of others over a real matrix of three. */
// time limit: 180 s
import { suite } from 'uvu'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'
import { litmusSuite, rcloneSuite } from '../../suites/http-clients.ts'

const test = suite('http clients')
let matrix: HttpMatrix
test.before(async () => void (matrix = await makeHttpMatrix({ nodes: 3 })))
test.after(() => matrix.close())
litmusSuite(test, () => matrix)
rcloneSuite(test, () => matrix)
test.run()
