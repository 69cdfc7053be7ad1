/** Run sets, groups and extent maps against models of single blocks; the mutations they give against the rows they mirror. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import { Group } from '../../../src/metadata/alloc/group.ts'
import { type Run, RunSet } from '../../../src/metadata/alloc/run-set.ts'
import { ExtentMap, HOLE } from '../../../src/metadata/cache/extent-map.ts'
import type { Mutation } from '../../../src/metadata/index.ts'

const BLOCKS = 200

function runsOf(blocks: ReadonlySet<number>): Run[] {
  const out: { address: number; count: number }[] = []
  for (let block = 0; block < BLOCKS; block++) {
    if (!blocks.has(block)) continue
    const last = out.at(-1)
    if (last && last.address + last.count === block) last.count++
    else out.push({ address: block, count: 1 })
  }
  return out
}

test('a run set is always the coalesced runs of its blocks', () => {
  const prng = new Prng(1)
  const set = new RunSet()
  const model = new Set<number>()
  for (let round = 0; round < 3000; round++) {
    const from = prng.below(BLOCKS)
    const present = model.has(from)
    let to = from
    while (to < BLOCKS && to < from + 10 && model.has(to) === present) to++
    if (present) set.remove(from, to - from)
    else set.add(from, to - from)
    for (let block = from; block < to; block++) present ? model.delete(block) : model.add(block)
    assert.equal(set.toArray(), runsOf(model))
    assert.is(set.blocks, model.size)
  }
})

test('adding what is there and removing what is not are bugs that stop', () => {
  const set = RunSet.from([{ address: 10, count: 10 }])
  assert.throws(() => set.add(19, 2))
  assert.throws(() => set.add(5, 6))
  assert.throws(() => set.remove(5, 6))
  assert.throws(() => set.remove(19, 2))
})

test('find: at the goal, else the first that fits going round, else the longest', () => {
  const set = RunSet.from([
    { address: 0, count: 4 },
    { address: 10, count: 8 },
    { address: 30, count: 2 },
  ])
  assert.equal(set.find(3, 12), { address: 12, count: 3 })
  assert.equal(set.find(5, 31), { address: 31, count: 1 }, 'a file grows in place, however little')
  assert.equal(set.find(4, 25), { address: 0, count: 4 })
  assert.equal(set.find(50, 25), { address: 10, count: 8 })
  assert.is(new RunSet().find(1, 0), undefined)
})

/** What the image would have after the mutations. */
function applyFree(rows: Map<number, number>, mutations: readonly Mutation[]): void {
  for (const m of mutations) {
    if (m.op === 'putFree') rows.set(m.address, m.count)
    else if (m.op === 'removeFree') assert.ok(rows.delete(m.address), 'only rows that are there are removed')
    else assert.unreachable()
  }
}

test('a group and the image agree after every commit, also after one that failed', () => {
  const prng = new Prng(2)
  let rows = new Map([[0, BLOCKS]])
  const list = () => [...rows].sort((a, b) => a[0] - b[0]).map(([address, count]) => ({ address, count }))
  const group = new Group(0, list())
  const taken: Run[] = []
  const used: Run[] = []
  for (let round = 0; round < 2000; round++) {
    const dice = prng.below(5)
    if (dice < 2) {
      const run = group.take(1 + prng.below(12), prng.chance(0.5) ? prng.below(BLOCKS) : undefined)
      if (run) taken.push(run)
    } else if (dice < 3 && taken.length > 0) {
      const some = taken.splice(0, 1 + prng.below(3))
      const mutations: Mutation[] = []
      for (const run of some) group.use(run, mutations)
      if (prng.chance(0.2)) {
        group.reload(list())
        taken.push(...some)
      } else {
        for (const run of some) group.used(run)
        applyFree(rows, mutations)
        used.push(...some)
      }
    } else if (dice < 4 && taken.length > 0) {
      group.giveBack(taken.splice(prng.below(taken.length), 1)[0] as Run)
    } else if (used.length > 0) {
      const mutations: Mutation[] = []
      group.free(used.splice(prng.below(used.length), 1)[0] as Run, mutations)
      applyFree(rows, mutations)
    }
    const free = list().reduce((sum, row) => sum + row.count, 0)
    assert.is(free + used.reduce((sum, run) => sum + run.count, 0), BLOCKS, 'no block is lost or doubled')
    assert.is(group.available + group.inFlight, free)
    rows = new Map(rows)
  }
})

test('an extent map is its blocks: mapping joins, truncating cuts, and the rows follow', () => {
  const prng = new Prng(3)
  const model = new Map<number, number>()
  const rows = new Map<number, { count: number; address: number }>()
  let map = ExtentMap.from([])
  let nextAddress = 1000
  for (let round = 0; round < 2000; round++) {
    const mutations: Mutation[] = []
    if (prng.chance(0.8)) {
      const block = prng.below(BLOCKS)
      const hole = map.segmentAt(block, Math.min(BLOCKS, block + 8))
      if (hole.address !== HOLE) continue
      // often right behind the block before: then the two are one extent
      const before = model.get(block - 1)
      const address = before !== undefined && prng.chance(0.7) ? before + 1 : (nextAddress += 50)
      if ([...model.values()].some((a) => a >= address && a < address + hole.count)) continue
      map.map(7, { block, count: hole.count, address }, () => true, mutations)
      for (let i = 0; i < hole.count; i++) model.set(block + i, address + i)
    } else {
      const keep = prng.below(BLOCKS)
      const freed = map.truncate(7, keep, 1000, mutations)
      const gone = [...model].filter(([block]) => block >= keep)
      assert.is(
        freed.reduce((sum, run) => sum + run.count, 0),
        gone.length,
      )
      for (const [block] of gone) model.delete(block)
    }
    for (const m of mutations) {
      if (m.op === 'putExtent') rows.set(m.block, { count: m.count, address: m.address })
      else if (m.op === 'removeExtent') assert.ok(rows.delete(m.block))
      else assert.unreachable()
    }
    for (let block = 0; block < BLOCKS; block++) assert.is(map.addressOf(block), model.get(block) ?? HOLE)
    assert.is(map.mapped, model.size)
    const loaded = ExtentMap.from([...rows].sort((a, b) => a[0] - b[0]).map(([block, row]) => ({ block, ...row })))
    assert.is(loaded.length, map.length)
    if (prng.chance(0.1)) map = loaded
  }
})

test.run()
