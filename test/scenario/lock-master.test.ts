/**
 * Transcripts of the lock master: every command of `lock-master/*.txt` with the complete expected output below it. A line
 * `2 request I:5 EX #1` is a message of slot 2; `no-queue` and a vector `{1:512}` may follow. Other commands: `reset {…}`,
 * `floor {…}`, `resume`, `freeze`, `reopen 1 2 of I:5 I:6` (the members, and which resources are open). Expected lines begin with `→`; `! text` is a refusal. `#` begins a comment.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { formatVector, fromPairs, type Vector } from '../../src/base/vector.ts'
import { type Effect, LockMaster } from '../../src/locking/lock-master.ts'
import { type LockMessageType, lockMessage, lockMessageNames } from '../../src/locking/lock-message.ts'
import { type Mode, modeNames, NL } from '../../src/locking/modes.ts'
import { lockTypes, type ResourceId, resourceId, resourceName } from '../../src/locking/resource.ts'

const folder = new URL('./lock-master/', import.meta.url)

function parseVector(text: string | undefined): Vector {
  const pairs = [...(text ?? '').matchAll(/(\d+):(\d+)/g)].map(([, slot, lsn]) => [Number(slot), Number(lsn)] as const)
  return fromPairs(pairs)
}

function parseResource(text: string): ResourceId {
  const [type, number] = text.split(':') as [string, string]
  return resourceId(lockTypes.indexOf(type as 'I'), Number(number))
}

function show({ to, message }: Effect): string {
  const { type, rid, seq, mode, vector } = message
  const what = [`→ ${to} ${lockMessageNames[type]} ${resourceName(rid)}`]
  if (mode !== NL) what.push(modeNames[mode])
  what.push(`#${seq}`)
  if (vector.size > 0) what.push(formatVector(vector))
  return what.join(' ')
}

function run(master: LockMaster, command: string): readonly Effect[] {
  const vector = parseVector(/\{.*\}/.exec(command)?.[0])
  const [first, verb, name, ...rest] = command
    .replace(/\{.*\}/, '')
    .trim()
    .split(/\s+/) as [string, ...string[]]
  if (first === 'reset') master.reset(vector)
  else if (first === 'floor') master.raiseFloor(vector)
  else if (first === 'freeze') master.freeze()
  else if (first === 'reopen') {
    const words = [verb, name, ...rest]
    const open = words.slice(words.indexOf('of') + 1).map((word) => parseResource(word as string))
    const members = words.slice(0, words.indexOf('of')).map(Number)
    master.reopen(
      (slot) => members.includes(slot),
      (rid) => open.includes(rid),
    )
  } else if (first === 'resume') return master.resume(0)
  else {
    const type = lockMessageNames.indexOf(verb as 'request') as LockMessageType
    assert.ok(type > 0 && name, `not a command: ${command}`)
    const mode = modeNames.findIndex((mode) => rest.includes(mode))
    const seq = Number(rest.find((word) => word.startsWith('#'))?.slice(1))
    const message = lockMessage(
      type,
      parseResource(name as string),
      seq,
      Math.max(mode, 0) as Mode,
      vector,
      rest.includes('no-queue'),
    )
    return master.step(Number(first), message, 0)
  }
  return []
}

for (const file of readdirSync(folder)) {
  test(file.replace('.txt', '').replaceAll('-', ' '), () => {
    const master = new LockMaster({ idleMax: 2 })
    const expected: string[] = []
    const actual: string[] = []
    for (const line of readFileSync(new URL(file, folder), 'utf8').split('\n')) {
      if (line.trim() === '' || line.startsWith('#')) continue
      expected.push(line)
      if (line.startsWith('→') || line.startsWith('!')) continue
      actual.push(line)
      try {
        actual.push(...run(master, line).map(show))
      } catch (error) {
        actual.push(`! ${(error as Error).message}`)
      }
    }
    assert.fixture(`${actual.join('\n')}\n`, `${expected.join('\n')}\n`)
  })
}

test.run()
