import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { LogLevels, logLevels } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { createLog } from '../../../src/platform/real/log.ts'

const test = suite('platform/real: log and clock')

test('lines are JSON with time, level, fields of their ancestors and message; lower levels are left out', () => {
  const lines: string[] = []
  const log = createLog({ level: 'info', destination: { write: (line: string) => void lines.push(line) } })
  log.child({ node: 'n1' }).child({ peer: 'n2' }).warn({ reason: 'x' }, 'gone')
  log.debug({}, 'unseen')
  assert.is(lines.length, 1)
  const { time, ...rest } = JSON.parse(lines[0]!)
  assert.equal(rest, { level: 40, node: 'n1', peer: 'n2', reason: 'x', msg: 'gone' })
  assert.match(time, /^\d{4}-\d\d-\d\dT/)
})

test('each part of a node has a level of its own, which changes while it runs', () => {
  const lines: string[] = []
  const levels = new LogLevels('info', { nfs: 'debug', san: 'error' })
  const log = createLog({ level: levels, destination: { write: (line: string) => void lines.push(line) } })
  const [nfs, san, http] = (['nfs', 'san', 'http'] as const).map((subsystem) => log.child({ subsystem }))
  const written = () => {
    for (const each of [log, nfs, san, http]) for (const level of logLevels) each?.[level]({}, level)
    const all = lines.splice(0).map((line) => JSON.parse(line) as { subsystem?: string; msg: string })
    return ['', 'nfs', 'san', 'http'].map((name) =>
      all.flatMap(({ subsystem = '', msg }) => (subsystem === name ? msg : [])).join(' '),
    )
  }
  const [general, all] = ['info warn error', 'debug info warn error']
  assert.equal(written(), [general, all, 'error', general])
  levels.set('http', 'debug')
  levels.set('nfs', 'warn')
  assert.equal(written(), [general, 'warn error', 'error', all])
  assert.equal(
    levels.list().find(({ subsystem }) => subsystem === 'nfs'),
    {
      ...{ subsystem: 'nfs', level: 'warn', configured: 'debug' },
    },
  )
  levels.set('nfs', undefined)
  levels.set('http', undefined)
  assert.equal(written(), [general, all, 'error', general])
})

test('a log file in a new folder holds each line as soon as it is written, and is appended to', () => {
  const folder = mkdtempSync(join(tmpdir(), 'matrixfs-log-'))
  const path = join(folder, 'logs', 'n1.log')
  createLog({ destination: path }).info({}, 'one')
  createLog({ destination: path }).error({}, 'two')
  const lines = readFileSync(path, 'utf8').trim().split('\n')
  assert.equal(
    lines.map((line) => JSON.parse(line).msg),
    ['one', 'two'],
  )
  rmSync(folder, { recursive: true })
})

test('no timer fires early, not by a part of a millisecond', async () => {
  const early: number[] = []
  const timers = Array.from({ length: 400 }, (_, i) => {
    return new Promise<void>((resolve) => {
      setTimeout(() => {
        const due = realClock.now() + 3 + i / 400
        realClock.after(3 + i / 400, () => {
          if (realClock.now() < due) early.push(due - realClock.now())
          resolve()
        })
      }, i / 2)
    })
  })
  await Promise.all(timers)
  assert.equal(early, [])
})

test('monotonic time grows; timers fire not before their time, and not when cancelled', async () => {
  const start = realClock.now()
  const order: string[] = []
  realClock.after(5, () => order.push('cancelled')).cancel()
  const every = realClock.every(5, () => order.push('every'))
  realClock.soon(() => order.push('soon'))
  await new Promise<void>((resolve) => void realClock.after(30, resolve))
  every.cancel()
  const fired = order.length
  assert.ok(realClock.now() - start >= 29)
  assert.is(order[0], 'soon')
  assert.ok(order.includes('every') && !order.includes('cancelled'))
  await new Promise<void>((resolve) => void realClock.after(15, resolve))
  assert.is(order.length, fired)
  assert.ok(Math.abs(realClock.wall() - Date.now()) < 1000)
})

test.run()
