/** A matrix on LUNs of our own target, with a cache that a power loss empties. */
// time limit: 180 s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { TargetProcess } from '../helpers/target-process.ts'
import { testMatrixOn } from '../suites/iscsi-matrix.ts'
import { freeBasePort } from './free-ports.ts'

class Failing extends TargetProcess {
  async powerLoss(): Promise<void> {
    const { status, text } = await this.ask({ command: 'power-loss', downMs: 300, survive: 0.5 })
    assert.is(status, 0, text)
  }
}

const basePort = (await freeBasePort(2)) + 90
const lunConfig = 'cache = "volatile"'
await testMatrixOn(new Failing({ basePort, luns: 2, lunBytes: 256 * 2 ** 20, lunConfig }), undefined)
test.run()
