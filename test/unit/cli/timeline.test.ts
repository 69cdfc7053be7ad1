/** The timeline of membership changes: what a node notes, keeps in its file, and what `matrix timeline` makes of it. */
import { appendFileSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { timelineFile } from '../../../config/index.ts'
import { describeChange, lastChanges, readTimeline } from '../../../src/cli/timeline-command.ts'
import type { View } from '../../../src/cluster/index.ts'
import { TimelineFile } from '../../../src/node/kept-lists.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { Timeline, type TimelineEntry } from '../../../src/recovery/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const view = (id: number, ...members: [name: string, incarnation: number][]): View => ({
  id,
  members: members.map(([name, incarnation]) => ({
    ...{ name, incarnation, slot: Number(name.slice(1)) - 1 },
    address: { host: name, port: 1 },
  })),
})

test('a change reads as one story, whoever did its steps', async () => {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const told: Buffer[] = []
  const tell = (entry: TimelineEntry) => void told.push(Buffer.from(JSON.stringify(entry)))
  const n1 = new Timeline({ node: 'n1', clock, log: silentLog, tell })
  const n2 = new Timeline({ node: 'n2', clock, log: silentLog, tell: () => {} })
  n2.installed(view(64, ['n1', 1], ['n2', 1], ['n3', 4]))
  n2.installed(view(129, ['n1', 1], ['n2', 2]))
  const end = n1.begin(129, 'fence n3')
  await world.settle(new Promise<void>((resolve) => world.at(1500, resolve)))
  end('done')
  n1.begin(129, 'seal')('lun-io: no')
  for (const payload of told) n2.told(payload)
  assert.throws(() => n2.told(Buffer.from('{"view":1}')), /malformed timeline entry/)
  const [former, change] = lastChanges(n2.entries, 5)
  assert.is(former?.length, 1)
  const lines = describeChange(change as TimelineEntry[]).split('\n')
  assert.match(lines[0], /view 129: n1, n2; n2 came; n2, n3 gone {2}— 1500 ms$/)
  assert.is(lines[1], '  n1 fence n3    1500 ms')
  assert.is(lines[2], '  n1 seal           0 ms  lun-io: no')
  assert.equal(lastChanges(n2.entries, 1), [change])
})

test('what happens to a LUN is told at its time, and does not make the change of membership longer', () => {
  const entry = { view: 64, node: 'n1', durationMs: 0, outcome: 'done' }
  const lines = describeChange([
    { ...entry, step: 'view', startedAt: 0, outcome: 'n1' },
    { ...entry, step: 'seal', startedAt: 10, durationMs: 20 },
    { ...entry, step: 'LUN lun2', startedAt: 3_600_000, outcome: 'up → slow: an I/O has taken 2100 ms' },
  ]).split('\n')
  assert.match(lines[0], /view 64: n1 {2}— 30 ms$/)
  assert.is(lines[2], '  n1 LUN lun2  1970-01-01T01:00:00.000Z  up → slow: an I/O has taken 2100 ms')
})

test('the file keeps the newer half when it is large, and a cut line is no hindrance', () => {
  const folder = mkdtempSync(join(tmpdir(), 'timeline-'))
  try {
    const file = new TimelineFile(folder, silentLog)
    const outcome = 'x'.repeat(1000)
    for (let view = 1; view <= 1500; view++)
      file.add({ view, node: 'n1', step: 's', startedAt: view, durationMs: 1, outcome })
    const path = timelineFile(folder)
    assert.ok(statSync(path).size < 1024 * 1024)
    appendFileSync(path, '{"view":9')
    const entries = readTimeline(path)
    assert.is(entries.at(-1)?.view, 1500)
    assert.ok(entries.length > 400 && entries.length < 1100)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
