/**
 * A slice of `npm run e2e:services`: nginx, and an application with scripts of its own, are stopped, and made unable to start, under a virtual host.
 * Skipped, with the reason, where it cannot run.
 */
// time limit: 480 s
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { endAll, prepare } from './services/applications.ts'
import { lackingForServices } from './services/lacking.ts'
import { Trial } from './services/trial.ts'
import { VhostMatrix } from './vhost/vhost-matrix.ts'

const missing = lackingForServices()
if (missing.length > 0) console.log(`skipped, since this machine lacks:\n  ${missing.join('\n  ')}`)
const run = missing.length > 0 ? test.skip : test

run('what is stopped is restarted here; what cannot start here comes up at the backup, and goes back', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-services-'))
  const matrix = await VhostMatrix.create({
    ...{
      dir,
      prefix: `s${process.pid.toString(36)}`,
      nodes: 2,
      fencing: 'kill',
      policy: 'AUTOFAILBACK',
      listen: 'own',
    },
    more: prepare,
  })
  try {
    const trial = new Trial(matrix)
    await trial.begin()
    console.log(await trial.stop('web'))
    console.log(await trial.breakDown('web'))
    console.log(await trial.stop('teller'))
    const { config } = matrix.node('n2')
    const list = await matrix.order('n2', 'service', 'list', '--config', config)
    assert.match(list, /web +application +http \S+ +files +n1 +up/)
    assert.match(list, /web +application +http \S+ +files +n2 +idle/)
    assert.match(
      await matrix.order('n1', 'service', 'events', '--config', matrix.node('n1').config),
      /service-restarted/,
    )
    const wrong = await matrix.order('n2', 'service', 'clear', 'none', '--config', config).catch(String)
    assert.match(wrong, 'this node has no service none')
  } catch (error) {
    console.log(matrix.tails())
    throw error
  } finally {
    await matrix.dispose()
    endAll(dir, matrix.names)
    rmSync(dir, { recursive: true, force: true })
  }
})

test.run()
