import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  CR,
  CW,
  compatible,
  coversMode,
  EX,
  joinModes,
  type Mode,
  NL,
  PR,
  PW,
  yieldMode,
} from '../../../src/locking/modes.ts'

const modes: readonly Mode[] = [NL, CR, CW, PR, PW, EX]
const pairs = modes.flatMap((a) => modes.map((b) => [a, b] as const))

test('compatibility is symmetric', () => {
  for (const [a, b] of pairs) assert.is(compatible[a]![b], compatible[b]![a])
})

test('a mode that covers another excludes at least as much', () => {
  for (const [a, b] of pairs) {
    if (coversMode[a]![b]) for (const c of modes) if (compatible[a]![c]) assert.ok(compatible[b]![c])
  }
})

test('joinModes is the least mode that covers both', () => {
  for (const [a, b] of pairs) {
    const join = joinModes[a]![b] as Mode
    assert.ok(coversMode[join]![a] && coversMode[join]![b])
    for (const c of modes) if (coversMode[c]![a] && coversMode[c]![b]) assert.ok(coversMode[c]![join])
  }
})

test('yieldMode is the most that can be kept beside what is wanted', () => {
  for (const [held, wanted] of pairs) {
    const kept = yieldMode[held]![wanted] as Mode
    assert.ok(coversMode[held]![kept] && compatible[kept]![wanted])
    for (const c of modes) if (coversMode[held]![c] && compatible[c]![wanted]) assert.ok(coversMode[kept]![c])
  }
  assert.is(yieldMode[EX]![PR], PR)
  assert.is(yieldMode[EX]![EX], NL)
})

test.run()
