/** What members remember of jobs: of two versions the later is right, the file has it after a restart, and a damaged one is begun anew. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Job } from '../../../../src/admin/api/jobs.ts'
import { JobLedger } from '../../../../src/admin/jobs/job-ledger.ts'
import { silentLog } from '../../../../src/platform/index.ts'

const test = suite<{ dir: string }>('job ledger', { dir: '' })
test.before.each((c) => {
  c.dir = mkdtempSync(join(tmpdir(), 'matrixfs-ledger-'))
})
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }))

function jobOf(id: string, state: Job['state'], createdAt = 1): Job {
  return {
    ...{ kind: 'scrub', id, object: id, input: { filesystem: 'home' }, state, cancelling: false, percent: 0 },
    ...{ sentence: '', node: null, attempts: 0, by: 'root', createdAt, startedAt: null, finishedAt: null },
    ...{ result: null, error: null },
  }
}

test('each change counts; what is older is not taken back, wherever it comes from', ({ dir }) => {
  const administrator = new JobLedger(dir, silentLog)
  const first = administrator.set(jobOf('home.1', 'active'), { ino: 5 })
  const last = administrator.set(jobOf('home.1', 'completed'), { ino: 9 })
  assert.is(last.version, first.version + 1)
  const member = new JobLedger(mkdtempSync(join(dir, 'member-')), silentLog)
  member.take([last])
  member.take([first])
  assert.equal(member.find('scrub', 'home.1'), last)
})

test('it is there again after a restart, the newest first', ({ dir }) => {
  const ledger = new JobLedger(dir, silentLog)
  ledger.set(jobOf('home.1', 'active', 10), { ino: 5 })
  ledger.set(jobOf('home.2', 'waiting', 20), undefined)
  const again = new JobLedger(dir, silentLog)
  assert.equal(
    again.entries.map(({ job, kept }) => [job.id, kept]),
    [
      ['home.2', undefined],
      ['home.1', { ino: 5 }],
    ],
  )
})

test('of what has ended only the newest are kept; what has not is never forgotten', ({ dir }) => {
  const ledger = new JobLedger(dir, silentLog)
  for (let i = 0; i < 60; i++) {
    ledger.set(jobOf(`open.${i}`, 'waiting', i), undefined)
    ledger.set(jobOf(`over.${i}`, 'failed', i), undefined)
  }
  const ids = ledger.entries.map(({ job }) => job.id)
  assert.is(ids.filter((id) => id.startsWith('open')).length, 60)
  assert.is(ids.filter((id) => id.startsWith('over')).length, 50)
  assert.ok(ids.includes('over.59') && !ids.includes('over.0'))
})

test('a damaged file is told of, and replaced by what is known then', ({ dir }) => {
  writeFileSync(join(dir, 'jobs.json'), '[{"version":1,"job":{"kind":"scr')
  const warnings: string[] = []
  const ledger = new JobLedger(dir, { ...silentLog, warn: (_, message) => void warnings.push(message) })
  assert.equal(warnings, ['the ledger of jobs is damaged: it is begun anew'])
  ledger.set(jobOf('home.1', 'waiting'), undefined)
  assert.is(JSON.parse(readFileSync(join(dir, 'jobs.json'), 'utf8')).length, 1)
})

test.run()
