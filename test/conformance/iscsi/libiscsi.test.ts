/**
 * libiscsi's conformance suite (Debian package libiscsi-bin) against the target. Its exit code counts SKIPPED as passed, so its text is read: each test
 * has to pass, and what is skipped has to be what docs/iscsi-target.md lists, no more and no less.
 */
// time limit: 300 s
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { OwnTarget } from '../../helpers/own-target.ts'

const PROGRAM = 'iscsi-test-cu'
const missing = spawnSync('which', [PROGRAM]).status !== 0
if (missing) process.stderr.write('skipped: iscsi-test-cu is missing: apt-get install libiscsi-bin\n')
const check = missing ? test.skip : test

const own = new OwnTarget({
  portals: 2,
  luns: [{}, { blockSize: 4096, cache: 'volatile' }, { isReadOnly: true }],
})

type Outcome = {
  readonly passed: readonly string[]
  readonly failed: readonly string[]
  readonly skipped: readonly string[]
}

/** Tests by their names, such as `Write16.BeyondEol`. */
function parse(text: string): Outcome {
  const [passed, failed, skipped]: [string[], string[], string[]] = [[], [], []]
  let suite = ''
  let test: string | undefined
  let isSkipped = false
  for (const line of text.split('\n')) {
    suite = /^Suite: (\S+)/.exec(line)?.[1] ?? suite
    const begun = /^ {2}Test: (\S+) \.\.\./.exec(line)
    if (begun) {
      test = `${suite}.${begun[1]}`
      isSkipped = false
    }
    if (line.includes('[SKIPPED]')) isSkipped = true
    // what the next test writes first may follow on the same line
    const verdict = /(?:\.\.\.|^)(passed|FAILED)(?:$|\s)/.exec(line)?.[1]
    if (!verdict || !test) continue
    if (verdict === 'FAILED') failed.push(test)
    else (isSkipped ? skipped : passed).push(test)
    test = undefined
  }
  return { passed, failed, skipped }
}

async function run(tests: string, lun: number): Promise<{ readonly text: string; readonly outcome: Outcome }> {
  const args = ['--dataloss', '--test', tests, own.url(lun), own.url(lun, '', 2)]
  const child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  }
  await new Promise((resolve) => child.on('close', resolve))
  return { text, outcome: parse(text) }
}

/** The first column of the table of what is skipped. */
function documented(): string[] {
  const docs = readFileSync(new URL('../../../docs/iscsi-target.md', import.meta.url), 'utf8')
  return [...docs.matchAll(/^\| `([A-Za-z0-9]+(?:\.[A-Za-z0-9]+)?)` \|/gm)].map(([, name]) => name as string)
}

test.before(async () => {
  if (!missing) await own.start()
})
test.after(async () => own.dispose())

check('every test passes, or is skipped for a reason that the documentation gives', async () => {
  const { text, outcome } = await run('ALL', 1)
  assert.equal(outcome.failed, [], text)
  const counted = /^ +tests +(\d+) +(\d+) +(\d+) +0 +0$/m.exec(text)
  assert.ok(counted, text)
  assert.is(outcome.passed.length + outcome.skipped.length, Number(counted[3]), 'a test was overlooked')
  assert.ok(outcome.passed.length > 150, `${outcome.passed.length} passed`)
  const reasons = documented()
  const isDocumented = (name: string): boolean => reasons.some((each) => name === each || name.startsWith(`${each}.`))
  assert.equal(
    outcome.skipped.filter((name) => !isDocumented(name)),
    [],
    'skipped, and not in docs/iscsi-target.md',
  )
  assert.equal(
    reasons.filter((each) => !outcome.skipped.some((name) => name === each || name.startsWith(`${each}.`))),
    [],
    'in docs/iscsi-target.md, and not skipped',
  )
})

for (const family of [
  'ALL.Read16,ALL.Write16,ALL.CompareAndWrite,ALL.Unmap,ALL.WriteSame16,ALL.OrWrite,ALL.Verify16',
  'ALL.ProutRegister,ALL.ProutReserve,ALL.ProutPreempt,ALL.iSCSIResiduals,ALL.iSCSITMF,ALL.MultipathIO',
]) {
  check(`blocks of 4096 bytes, with a cache of its own: ${family}`, async () => {
    for (const each of family.split(',')) {
      const { text, outcome } = await run(each, 2)
      assert.equal(outcome.failed, [], text)
      assert.ok(outcome.passed.length > 0, text)
    }
  })
}

check('a LUN that is write-protected refuses every command that writes', async () => {
  const { text, outcome } = await run('ALL.ReadOnly', 3)
  assert.equal(outcome, { passed: ['ReadOnly.ReadOnlySBC'], failed: [], skipped: [] }, text)
})

test.run()
