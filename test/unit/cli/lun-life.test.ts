/** `matrix fs grow`, `matrix lun drain`, `grow` and `show`: what is asked of the node, until it answers, and what is told. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ControlAnswer, ControlRequest } from '../../../config/index.ts'
import { isMatrixError, MatrixError } from '../../../src/base/errors.ts'
import { GiB, MiB } from '../../../src/base/units.ts'
import { growFilesystem } from '../../../src/cli/fs-grow.ts'
import type { AskNode } from '../../../src/cli/lun-change.ts'
import { drainLun, growLun, stopDraining } from '../../../src/cli/lun-drain.ts'
import { describeSeen, lunsSeen } from '../../../src/cli/lun-sights.ts'

const test = suite('matrix: LUNs of filesystems')

const lun = (n: number) => ({ uuid: `uuid${n}`, name: `lun${n}`, size: n * GiB })

/** A node that gives these answers, one after another. */
function node(...answers: (object | MatrixError)[]) {
  const asked: ControlRequest[] = []
  const told: string[] = []
  const ask: AskNode = async (request) => {
    if (request.command === 'luns')
      return { ok: true, luns: { matrixUuid: 'm', matrixName: 'm', luns: [lun(1), lun(2), lun(3)] } }
    asked.push(request)
    const answer = answers.shift()
    if (answer instanceof MatrixError) throw answer
    return { ok: true, ...answer } as Extract<ControlAnswer, { ok: true }>
  }
  return { asked, told, ask, tell: (line: string) => void told.push(line) }
}

const again = new MatrixError('view-changed', 'the matrix is recovering from a change of membership: ask again')
const failed = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error) => error,
  )

test('a filesystem gets one LUN after another, each asked for until it is answered', async () => {
  const { asked, told, ask, tell } = node({ bytes: 5 }, again, { bytes: 0 })
  assert.equal(await growFilesystem('home', ['lun2', 'lun3'], ask, tell), [
    { lun: 'lun2', bytes: 5 },
    { lun: 'lun3', bytes: 0 },
  ])
  const grow = (uuid: string) => ({ command: 'grow-filesystem', filesystem: 'home', uuid })
  assert.equal(asked, [grow('uuid2'), grow('uuid3'), grow('uuid3')])
  assert.equal(told, [`waiting: ${again.message}`])
})

test('nothing is asked when one of the LUNs is not there', async () => {
  const { asked, ask, tell } = node()
  const error = await failed(growFilesystem('home', ['lun2', 'lun9'], ask, tell))
  assert.ok(isMatrixError(error, 'not-found'))
  assert.match(error.message, /has no LUN lun9; it has lun1, lun2, lun3\. Another one is added with: matrix lun add/)
  assert.equal(asked, [])
})

test('a LUN is drained as long as something is left, and how much that is told now and then', async () => {
  const left = [100, 99, 98, 90, 89, 40, 39].map((each) => ({ left: each * MiB }))
  const { asked, told, ask, tell } = node(...left.slice(0, 3), again, ...left.slice(3), {})
  assert.equal(await drainLun('lun2', ask, tell), lun(2))
  assert.is(asked.length, 9)
  assert.equal(new Set(asked.map((each) => JSON.stringify(each))), new Set(['{"command":"drain-lun","uuid":"uuid2"}']))
  const amounts = told.filter((line) => line.includes('left'))
  assert.equal(
    amounts,
    [100, 90, 40].map((each) => `${each} MiB are left on LUN lun2`),
  )
})

test('what cannot be is told at once: the first LUN, no room, no such LUN', async () => {
  for (const code of ['in-use', 'no-space'] as const) {
    const { asked, ask, tell } = node(new MatrixError(code, 'no'))
    assert.ok(isMatrixError(await failed(drainLun('lun1', ask, tell)), code))
    assert.is(asked.length, 1)
  }
  const { ask, tell } = node()
  assert.ok(isMatrixError(await failed(drainLun('lun7', ask, tell)), 'not-found'))
})

test('draining is stopped, and a LUN used whole, by one question each', async () => {
  const stop = node({ bytes: 7 })
  assert.is(await stopDraining('lun3', stop.ask, stop.tell), 7)
  assert.equal(stop.asked, [{ command: 'refill-lun', uuid: 'uuid3' }])
  const grow = node({ bytes: 8 })
  assert.is(await growLun('lun3', grow.ask, grow.tell), 8)
  assert.equal(grow.asked, [{ command: 'grow-lun', uuid: 'uuid3' }])
})

test('who sees which LUN by which path: also who does not, and who does not say', async () => {
  const sights = [
    { uuid: 'uuid1', path: '/a', size: GiB, state: 'up' },
    { uuid: 'uuid2', path: '/b', size: 5 * GiB, state: 'slow', reason: 'a read took 3 s' },
  ]
  const looks = [
    { node: 'n1', sights },
    { node: 'n2', sights: [{ uuid: 'uuid1', state: 'missing', reason: 'does not find it' }] },
    { node: 'n3', sights: 'it is gone' },
  ]
  const { ask } = node({ looks })
  const lines = describeSeen(await lunsSeen(ask)).split('\n')
  assert.equal(
    lines.map((line) => line.replace(/ {2,}/g, ' ')),
    [
      'LUN used node path device state',
      'lun1 1 GiB n1 /a up',
      ' n2 - missing: does not find it',
      ' n3 - unknown: it is gone',
      'lun2 2 GiB n1 /b 5 GiB slow: a read took 3 s',
      ' n2 - missing: the node does not know of it yet',
      ' n3 - unknown: it is gone',
      'lun3 3 GiB n1 - missing: the node does not know of it yet',
      ' n2 - missing: the node does not know of it yet',
      ' n3 - unknown: it is gone',
    ],
  )
})

test.run()
