/**
 * A slice of `npm run e2e:vhost`: clients work through an address of the matrix while it is moved by hand, while its node stops, and while that is
 * killed. Skipped, with the reason, where it cannot run.
 */
// time limit: 480 s
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { lacking } from './vhost/lacking.ts'
import { Trial } from './vhost/trial.ts'
import { VhostMatrix } from './vhost/vhost-matrix.ts'

const missing = lacking()
if (missing.length > 0) console.log(`skipped, since this machine lacks:\n  ${missing.join('\n  ')}`)
const run = missing.length > 0 ? test.skip : test

for (const [host, listen] of [
  ['files', 'own'],
  ['six', 'all'],
] as const) {
  run(`${host}, nodes listen on ${listen}: moved, stopped and killed, and no client meets an error`, async () => {
    const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-vhost-'))
    const prefix = `t${process.pid.toString(36)}`
    const matrix = await VhostMatrix.create({ dir, prefix, nodes: 3, fencing: 'kill', policy: 'NOFAILBACK', listen })
    const trial = new Trial(matrix, host)
    try {
      await trial.begin()
      console.log(await trial.move())
      console.log(await trial.stop())
      console.log(await trial.kill())
      const { config } = matrix.node('n1')
      assert.match(await matrix.order('n1', 'status', '--config', config), /files +198\.19\.\d+\.50\/24 +n[123]/)
      assert.match(
        await matrix.order('n1', 'timeline', '--config', config),
        /virtual host (files|six) .* n[123] → n[123]/,
      )
      const wrong = await matrix.order('n1', 'vhost', 'move', host, 'n9', '--config', config).catch(String)
      assert.match(wrong, `n9 is not among the nodes of ${host}: n1, n2, n3`)
      const { lines, held, worst } = await trial.end()
      assert.ok(held, lines.join('\n'))
      console.log(`longest stalls, ms: ${JSON.stringify(worst)}`)
    } catch (error) {
      console.log(matrix.tails())
      throw error
    } finally {
      trial.destroy()
      await matrix.dispose()
      rmSync(dir, { recursive: true, force: true })
    }
  })
}

test.run()
