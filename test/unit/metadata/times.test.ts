import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { touchAttributes, touchContent } from '../../../src/metadata/fs/times.ts'
import { handClock } from './fixture.ts'

const inode = (ctimeS: number, ctimeNs: number) => ({ ctimeS, ctimeNs, mtimeS: 0, mtimeNs: 0, change: 0 })

test('the ctime of an inode grows with every change, within one tick and when the clock steps back', () => {
  let ms = 1_700_000_000_000
  const clock = { ...handClock(), wall: () => ms }
  const it = inode(0, 0)
  const seen: number[][] = []
  for (const at of [0, 0, 0, 1, 1, -5000, -5000, 2]) {
    ms = 1_700_000_000_000 + at
    touchAttributes(it, clock)
    seen.push([it.ctimeS, it.ctimeNs])
  }
  const s = 1_700_000_000
  assert.equal(seen, [
    [s, 0],
    [s, 1],
    [s, 2],
    [s, 1_000_000],
    [s, 1_000_001],
    [s, 1_000_002],
    [s, 1_000_003],
    [s, 2_000_000],
  ])
  assert.is(it.change, 8)
})

test('the last nanosecond of a second is followed by the next second; content changes by the same time', () => {
  const clock = { ...handClock(), wall: () => 1000 }
  const it = inode(7, 999_999_999)
  touchContent(it, clock)
  assert.equal([it.ctimeS, it.ctimeNs, it.mtimeS, it.mtimeNs], [8, 0, 8, 0])
})

test.run()
