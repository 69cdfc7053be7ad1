/**
 * `npm run e2e:vhost`: clients work through a virtual host while its node is killed, over and over, and while it is moved by hand. Exits with 0 only
 * when nothing that was answered was lost, no client met an error, and no two machines bore the address at one time.
 */
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { KernelClient } from './clients.ts'
import { lacking } from './lacking.ts'
import { Trial } from './trial.ts'
import { fencings, VhostMatrix } from './vhost-matrix.ts'

const root = new URL('../../..', import.meta.url).pathname
const usage = `Clients work through an address of the matrix while its node is killed, and while it is moved by hand. Needs root and arping.

  --kills N        SIGKILL of the node that bears it (20)
  --moves N        matrix vhost move to another node (10)
  --fencing HOW    ${fencings.join(', ')} (scsi-pr): how a dead node is fenced; scsi-pr with an iSCSI target of our own
  --policy P       AUTOFAILBACK or NOFAILBACK (NOFAILBACK)
  --listen WHERE   all or own (own): nodes listen on all addresses, or on their own and the virtual ones
  --six            through the IPv6 address
  --dir DIR        (var/e2e-vhost; what a run left there is removed)
  --prefix NAME    of the namespaces (mfsv)

MATRIXFS_KERNEL_CLIENT names a program that boots a kernel and mounts by NFS: then such a client works, too.
Exit codes: 0 all held, 1 something did not, 2 wrong option, or this machine lacks something.`

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '20' },
    moves: { type: 'string', default: '10' },
    fencing: { type: 'string', default: 'scsi-pr' },
    policy: { type: 'string', default: 'NOFAILBACK' },
    listen: { type: 'string', default: 'own' },
    six: { type: 'boolean', default: false },
    dir: { type: 'string', default: join(root, 'var/e2e-vhost') },
    prefix: { type: 'string', default: 'mfsv' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(usage)
  process.exit(0)
}
const [kills, moves] = [values.kills, values.moves].map(Number) as [number, number]
if (![kills, moves].every((count) => Number.isSafeInteger(count) && count >= 0))
  wrong('--kills and --moves take whole numbers')
const fencing = fencings.find((each) => each === values.fencing) ?? wrong(`--fencing: of ${fencings.join(', ')}`)
const policy = (['AUTOFAILBACK', 'NOFAILBACK'] as const).find((each) => each === values.policy) ?? wrong('--policy')
const listen = (['all', 'own'] as const).find((each) => each === values.listen) ?? wrong('--listen: all or own')
const missing = lacking()
if (missing.length > 0) wrong(`this machine lacks what the test needs:\n  ${missing.join('\n  ')}`)

const matrix = await VhostMatrix.create({ dir: values.dir, prefix: values.prefix, nodes: 3, fencing, policy, listen })
const trial = new Trial(matrix, values.six ? 'six' : 'files')
let kernel: KernelClient | undefined
let ok = false
try {
  await trial.begin()
  const program = process.env['MATRIXFS_KERNEL_CLIENT']
  if (program === undefined) console.log('no kernel client: MATRIXFS_KERNEL_CLIENT is not set')
  else {
    kernel = new KernelClient(matrix.segment.enter('client'), {
      ...{ program, dir: values.dir, ...trial.at, seconds: 60 * (kills + moves) + 120 },
    })
    await kernel.begun()
  }
  for (let done = 1; done <= moves; done++) console.log(`move ${done}: ${await trial.move()}`)
  for (let done = 1; done <= kills; done++) console.log(`kill ${done}: ${await trial.kill()}`)
  await sleep(1000)
  const seen = kernel && (await kernel.end())
  const { lines, held } = await trial.end()
  console.log(lines.join('\n'))
  if (seen) {
    console.log(
      `kernel client: ${seen.operations} operations, worst stall ${seen.worstMs} ms, ${seen.errors.length} errors, ${seen.repeated} repetitions told that it had been done`,
    )
    for (const [at, ms] of seen.stalls) console.log(`  ${ms} ms at ${at} ms`)
    for (const error of seen.errors.slice(0, 20)) console.log(`  ${error}`)
  }
  console.log(`${availableParallelism()} processors, load ${loadavg()[0]?.toFixed(1)}`)
  ok = held && (seen?.errors.length ?? 0) === 0
} catch (error) {
  console.log(`FAILED ${error instanceof Error ? error.message : error}\n${matrix.tails()}`)
} finally {
  kernel?.destroy()
  trial.destroy()
  await matrix.dispose()
}
process.exit(ok ? 0 : 1)

function wrong(message: string): never {
  console.error(message)
  process.exit(2)
}
