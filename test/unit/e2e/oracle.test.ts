/** The oracle of the cluster test: what excluded lives write and answer is found, and nothing else is. */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '../../../src/base/units.ts'
import type { Operation } from '../../e2e/checker/history.ts'
import { exclusions, type JudgedNode, lateAnswers, lateWrites } from '../../e2e/cluster/oracle.ts'
import type { Life, LogLine } from '../../e2e/cluster/real-node.ts'
import { readWriteLog, WriteLog, type Written } from '../../e2e/cluster/write-log.ts'

function node(number: number, lives: Life[], served: readonly [time: number, ...members: string[]][]): JudgedNode {
  const lines: LogLine[] = served.map(([time, ...members]) => ({ time, msg: 'serving', members }))
  return { name: `n${number}`, number, lives, logged: (since) => lines.filter(({ time }) => time >= since) }
}

/** n2 is frozen at 300; n1 serves alone from 500; n2 goes on at 600 and has ended at 700; it is back at 900. */
const nodes = [
  node(
    1,
    [{ pid: 1, startedAt: 0 }],
    [
      [100, 'n1', 'n2'],
      [500, 'n1'],
      [1000, 'n1', 'n2'],
    ],
  ),
  node(
    2,
    [
      { pid: 2, startedAt: 0, endedAt: 700 },
      { pid: 3, startedAt: 800 },
    ],
    [],
  ),
]

const write = (time: number, offset: number, from = 1): Written => ({
  ...{ time, offset, node: from, lun: 0, length: 4096, crc: 0 },
})
const answered = (at: string, start: number): Operation => ({
  ...{ client: 'a', at, protocol: 'nfs', object: 'x', call: { kind: 'read' }, durable: true },
  ...{ start, end: start + 10, answer: {} },
})

test('a life is excluded when a view without it serves; the next life is not', () => {
  assert.equal(
    exclusions(nodes).map(({ node, number, from }) => [node.name, number, from > 500 && from < 510]),
    [['n2', 1, true]],
  )
})

test('a node that has never been in a view, or that had ended before, is not excluded', () => {
  const joining = node(2, [{ pid: 2, startedAt: 0 }], [])
  const dead = node(3, [{ pid: 3, startedAt: 0, endedAt: 400 }], [])
  assert.equal(
    exclusions([
      node(
        1,
        [{ pid: 1, startedAt: 0 }],
        [
          [100, 'n1', 'n3'],
          [500, 'n1'],
        ],
      ),
      joining,
      dead,
    ]),
    [],
  )
})

test('without any view there is nothing to judge by, which is no success', () => {
  assert.throws(() => exclusions([node(1, [], [])]), /no node has logged/)
})

test('writes of an excluded life are found, wherever but in the sectors of leases', () => {
  const excluded = exclusions(nodes)
  const fine = [write(400, 8 * MiB), write(650, 8 * MiB, 0), write(950, 8 * MiB), write(650, MiB + 4096)]
  assert.equal(lateWrites(excluded, fine), [])
  assert.match(lateWrites(excluded, [...fine, write(650, 8 * MiB)]).join(), /n2@1 .* 1 of its writes/)
  assert.match(lateWrites(excluded, [write(650, 2 * MiB)]).join(), /n2@1/)
  assert.match(lateWrites(excluded, [write(650, 2 * MiB - 512)]).join(), /n2@1/)
})

test('answers of an excluded life to what it was asked later are found', () => {
  const excluded = exclusions(nodes)
  const open = { ...answered('n2@1', 650), answer: undefined }
  const fine = [answered('n2@1', 400), answered('n2@2', 950), answered('n1@1', 650), open]
  assert.equal(lateAnswers(excluded, fine), [])
  assert.match(lateAnswers(excluded, [...fine, answered('n2@1', 650)]).join(), /n2@1 .* answered 1 requests/)
})

test('the log of writes is read back as it was written, without a last record that was cut', () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-write-log-'))
  const log = new WriteLog(join(dir, 'log'))
  for (let i = 0; i < 300; i++) log.add(1, i % 2, i * 4096, Buffer.alloc(512, i))
  log.flush()
  const read = readWriteLog(join(dir, 'log'))
  assert.is(read.length, 300)
  assert.equal(
    read.map(({ node, lun, offset, length }) => [node, lun, offset, length]),
    read.map((_, i) => [1, i % 2, i * 4096, 512]),
  )
  assert.ok(read.every(({ time }, i) => i === 0 || time >= (read[i - 1] as Written).time))
  assert.is(new Set(read.map(({ crc }) => crc)).size, 256)
  log.close()
  rmSync(dir, { recursive: true })
})

test.run()
