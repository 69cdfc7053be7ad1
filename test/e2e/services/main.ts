/**
 * `npm run e2e:services`: applications of a virtual host are stopped, and made unable to start, over and over. Exits with 0 only when each was up again
 * within 10 s, here or at the backup, went back by policy, and each event was told once.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { VhostMatrix } from '../vhost/vhost-matrix.ts'
import { type Application, applications, endAll, prepare } from './applications.ts'
import { lackingForServices } from './lacking.ts'
import { Trial } from './trial.ts'

const root = new URL('../../..', import.meta.url).pathname
const usage = `nginx and an application with scripts of its own, under a virtual host, are stopped and made unable to start. Needs root.

  --rounds N       (3) each stops both and breaks both
  --dir DIR        (var/e2e-services; what a run left there is removed)
  --prefix NAME    of the namespaces (mfss)

Exit codes: 0 all held, 1 something did not, 2 wrong option, or this machine lacks something.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    dir: { type: 'string', default: join(root, 'var/e2e-services') },
    prefix: { type: 'string', default: 'mfss' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(usage)
  process.exit(0)
}
const rounds = Number(values.rounds)
if (!Number.isSafeInteger(rounds) || rounds < 1) wrong('--rounds takes a whole number from 1')
const missing = lackingForServices()
if (missing.length > 0) wrong(`this machine lacks what the test needs:\n  ${missing.join('\n  ')}`)

const { dir, prefix } = values
const matrix = await VhostMatrix.create({
  ...{ dir, prefix, nodes: 2, fencing: 'kill', policy: 'AUTOFAILBACK', listen: 'own', more: prepare },
})
let ok = false
try {
  const trial = new Trial(matrix)
  await trial.begin()
  for (let round = 1; round <= rounds; round++)
    for (const application of Object.keys(applications) as Application[]) {
      console.log(`round ${round}: ${await trial.stop(application)}`)
      console.log(`round ${round}: ${await trial.breakDown(application)}`)
    }
  console.log(`${trial.events().length} events, each told once`)
  ok = true
} catch (error) {
  console.log(`FAILED ${error instanceof Error ? error.message : error}\n${matrix.tails()}`)
} finally {
  await matrix.dispose()
  endAll(dir, matrix.names)
}
process.exit(ok ? 0 : 1)

function wrong(message: string): never {
  console.error(message)
  process.exit(2)
}
