/**
 * A slice of `npm run e2e:cluster`: three real nodes in network namespaces, one of which is killed; then the network is cut. Skipped, with the
 * reason, where it cannot run.
 */
// time limit: 300 s
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  write,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attempt, missing } from './cluster/commands.ts'
import { Network } from './cluster/namespaces.ts'
import { RealMatrix } from './cluster/real-matrix.ts'
import { Resources } from './cluster/resources.ts'
import { SanSwitch } from './cluster/san-switch.ts'
import { play, type Result } from './cluster/scenario.ts'
import { cut } from './cluster/scenarios/cut.ts'
import { kill } from './cluster/scenarios/kill.ts'

const lacking = missing()
if (lacking.length > 0) console.log(`skipped, since this machine lacks:\n  ${lacking.join('\n  ')}`)
const run = lacking.length > 0 ? test.skip : test
const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-cluster-'))
/** Load per processor from which on nobody can promise times. */
const LOAD_MAX = 2
/** Of this run alone. */
const prefix = `t${process.pid.toString(36)}`

run('the SAN switch logs what reaches a LUN; what hangs in it fails and never lands', async () => {
  const lun = join(dir, 'lun.img')
  writeFileSync(lun, '')
  truncateSync(lun, 1 << 20)
  const san = await SanSwitch.start(join(dir, 'switch'), ['n1', 'n2'], [lun])
  const [one, other, real] = [san.path('n1', lun), san.path('n2', lun), lun].map((path) => openSync(path, 'r+'))
  const at = (fd: number) => {
    const found = Buffer.alloc(1)
    readSync(fd, found, 0, 1, 4096)
    return String(found)
  }
  try {
    writeSync(one as number, Buffer.alloc(4096, 'a'), 0, 4096, 4096)
    fdatasyncSync(one as number)
    assert.is(at(other as number), 'a')

    await san.set('n1', 'hang')
    const hanging = promisify(write)(one as number, Buffer.alloc(4096, 'b'), 0, 4096, 4096).then(
      () => 'done',
      (error) => error.code,
    )
    assert.is(await Promise.race([hanging, sleep(300, 'hangs')]), 'hangs')
    assert.is(at(other as number), 'a')
    await san.set('n1', 'fail')
    assert.is(await hanging, 'EIO')
    assert.throws(() => fdatasyncSync(one as number), /EIO/)
    assert.throws(() => at(one as number), /EIO/)
    await san.set('n1', 'pass')
    assert.is(at(real as number), 'a')
    writeSync(other as number, Buffer.alloc(512, 'c'), 0, 512, 4096)

    const writes = await san.writes()
    assert.equal(
      writes.map(({ node, lun, offset, length }) => [node, lun, offset, length]),
      [
        [0, 0, 4096, 4096],
        [1, 0, 4096, 512],
      ],
    )
  } finally {
    for (const fd of [one, other, real]) closeSync(fd as number)
    await san.close()
  }
})

run('the network loses packets one way or both, between the nodes named, and heals', () => {
  const network = Network.create(prefix, 3)
  // nobody listens there: a host that is reached says so, over one that is not a call waits in vain
  const reaches = (from: number, to: number) => {
    const [program, ...args] = network.enter(from)
    const script = `timeout 1 bash -c 'echo > /dev/tcp/${network.address(to)}/9' 2>&1 | grep -q refused`
    return attempt(program, ...args, 'bash', '-c', script)
  }
  try {
    assert.ok(reaches(1, 2) && reaches(2, 3))
    network.cutWays([[2, 1]])
    assert.not(reaches(1, 2)) // the answer is lost
    assert.ok(reaches(1, 3) && reaches(2, 3))
    network.heal()
    assert.ok(reaches(1, 2))
    network.cut([1], [2, 3])
    assert.not(reaches(1, 3))
    assert.ok(reaches(2, 3))
  } finally {
    network.remove()
  }
  assert.not(attempt('ip', 'netns', 'exec', `${prefix}-1`, 'true'))
})

run('one of three nodes is killed, then the network is cut: one side serves, and all come back', async () => {
  const matrix = await RealMatrix.create({ dir: join(dir, 'matrix'), nodes: 3, prefix, fencing: 'kill' })
  const said: string[] = []
  try {
    const resources = await Resources.make(matrix, 0)
    const results: Result[] = []
    for (const [seed, scenario] of [kill(2), cut([1], [2, 3])].entries()) {
      results.push(await play(scenario, { matrix, resources, seed, say: (line) => said.push(line) }))
    }
    assert.equal(
      results.flatMap(({ violations }) => violations),
      [],
      said.join('\n'),
    )
    const late = results.flatMap((result) => result.late)
    // with several programs waiting for each processor, times tell of the machine
    if ((loadavg()[0] as number) < LOAD_MAX * availableParallelism()) assert.equal(late, [], said.join('\n'))
    else if (late.length > 0) console.log(`not judged on this busy machine: ${late.join('; ')}`)
    for (const { takeover, cached, rejoin } of results) {
      assert.ok(takeover.length > 0 && cached.length > 0 && rejoin.length > 0, said.join('\n'))
    }
    await matrix.stopAll()
  } finally {
    await matrix.dispose()
  }
})

test.after(() => rmSync(dir, { recursive: true, force: true }))

test.run()
