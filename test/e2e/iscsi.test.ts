/** A matrix on LUNs of tgt. */
// time limit: 120 s
import { test } from 'uvu'
import { noTgt, Tgt } from '../helpers/tgt.ts'
import { testMatrixOn } from '../suites/iscsi-matrix.ts'

await testMatrixOn(new Tgt({ lunBytes: 256 * 2 ** 20 }), noTgt())
test.run()
