/** Events (R33): each has an id of its own, is kept before anybody hears of it, and is found again after a crash. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { eventsFile } from '../../../config/index.ts'
import type { Incarnation } from '../../../src/base/ids.ts'
import { eventStore } from '../../../src/node/kept-lists.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { EVENTS_KEPT, EventBook, type EventNews, type MatrixEvent } from '../../../src/services/index.ts'

const test = suite('services: events')

const news = (name: string): EventNews => ({
  ...{ kind: 'service-down', object: { type: 'service', name }, severity: 'error', text: `${name} is down` },
})

function book(dir: string, incarnation: number): EventBook {
  const store = eventStore(dir, silentLog)
  const life = { node: 'n1', incarnation: incarnation as Incarnation }
  return new EventBook({ ...life, clock: realClock, log: silentLog, store })
}

function inFolder(work: (dir: string) => void): () => void {
  return () => {
    const dir = mkdtempSync(join(tmpdir(), 'matrixfs-events-'))
    try {
      work(dir)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  }
}

test(
  'an event is on the disk before a subscriber hears of it, under an id that no other has',
  inFolder((dir) => {
    const events = book(dir, 4)
    const heard: string[] = []
    const end = events.subscribe(({ id }) => {
      assert.match(readFileSync(eventsFile(dir), 'utf8'), `"id":"${id}"`)
      heard.push(id)
    })
    events.publish(news('web'))
    events.publish(news('mail'))
    end()
    events.publish(news('ftp'))
    assert.equal(heard, ['n1-4-1', 'n1-4-2'])
  }),
)

test(
  'the next life goes on after the last event that was done with, although a crash has cut a line',
  inFolder((dir) => {
    const before = book(dir, 1)
    for (const name of ['a', 'b', 'c']) before.publish(news(name))
    appendFileSync(eventsFile(dir), '{"id":"n1-1-4","at":17')
    book(dir, 2).publish(news('d'))
    const after = book(dir, 3)
    const names = (found: readonly MatrixEvent[]) => found.map(({ object }) => object.name)
    assert.equal(names(after.after('n1-1-2')), ['c', 'd'])
    assert.equal(names(after.after(undefined)), ['a', 'b', 'c', 'd'])
    assert.equal(names(after.after('n1-0-1')), ['a', 'b', 'c', 'd'], 'it is not kept any more')
    assert.equal(after.after('n1-2-1'), [])
  }),
)

test(
  'the list is bounded: the oldest go',
  inFolder((dir) => {
    const events = book(dir, 1)
    for (let i = 0; i < EVENTS_KEPT + 10; i++) events.publish(news(`s${i}`))
    assert.is(events.events.length, EVENTS_KEPT)
    assert.is(events.events[0]?.object.name, 's10')
  }),
)

test.run()
