/**
 * Sequences of operations to crash in, bounded as CrashMonkey's ACE bounds them (Mohan et al., OSDI 2018): every verb that changes
 * something, over a few names in a few directories, a few sizes and offsets that cross what matters. All sequences of one
 * operation, and a sample of those of two.
 *
 * What an operation needs (files, directories that must be there) is made before. What the first operation has taken away
 * from the second is made anew in between: then that is part of the sequence, and crashed in as well.
 */
import type { Prng } from '../../src/base/prng.ts'
import { Model } from './model.ts'
import { describe, type Operation } from './operation.ts'

export type Sequence = {
  readonly name: string
  /** Done and durable before the first crash. */
  readonly setup: readonly Operation[]
  readonly operations: readonly Operation[]
}

/** What a file holds that an operation needs: two blocks and a part of a third. */
const FILE_BYTES = 10_000

type Choice = {
  readonly operation: Operation
  readonly files?: readonly string[]
  readonly directories?: readonly string[]
  /** Another name of the first file. */
  readonly alias?: string
}

/** Sizes and places of writes: on and across blocks, at and beyond the end of a file of FILE_BYTES. */
const WRITES: readonly { at: number | 'end'; bytes: number }[] = [
  { at: 'end', bytes: 1500 },
  { at: 'end', bytes: 5000 },
  { at: 0, bytes: 4096 },
  { at: 3000, bytes: 3000 },
  { at: 20_000, bytes: 1000 },
  { at: 5000, bytes: 9000 },
]
const SIZES = [0, 3000, 4096, 10_100, 20_480]

/** Every operation over every choice of its arguments. */
function choices(): readonly Choice[] {
  const out: Choice[] = []
  for (const path of ['foo', 'A/foo', 'A/C/foo']) out.push({ operation: { op: 'create', path } })
  for (const path of ['foo', 'A/foo']) {
    out.push({ operation: { op: 'recreate', path }, files: [path] })
    out.push({ operation: { op: 'symlink', path, target: path === 'foo' ? 'A/bar' : 'x'.repeat(1000) } })
    out.push({ operation: { op: path === 'foo' ? 'fifo' : 'device', path } })
    out.push({ operation: { op: 'unlink-open', path }, files: [path] })
    for (const size of SIZES) out.push({ operation: { op: 'truncate', path, size }, files: [path] })
    for (const stable of [false, true])
      for (const { at, bytes } of WRITES)
        out.push({ operation: { op: 'write', path, at, bytes, stable }, files: [path] })
    out.push({ operation: { op: 'commit', path }, files: [path] })
  }
  for (const path of ['foo', 'A/foo'])
    for (const bytes of [0, 1500, 4096, 10_000]) {
      out.push({ operation: { op: 'store', path, bytes } })
      out.push({ operation: { op: 'store', path, bytes }, files: [path] })
    }
  out.push({ operation: { op: 'store', path: 'foo', bytes: 5000 }, files: ['foo'], alias: 'bar' })
  out.push({ operation: { op: 'store', path: 'A', bytes: 5000 }, directories: ['A'] }) // refused
  out.push({ operation: { op: 'write', path: 'bar', at: 'end', bytes: 70_000, stable: true }, files: ['bar'] })
  for (const path of ['A', 'A/C', 'B']) out.push({ operation: { op: 'mkdir', path } })
  for (const path of ['foo', 'A/bar', 'A/C/foo']) out.push({ operation: { op: 'unlink', path }, files: [path] })
  for (const path of ['A', 'A/C']) out.push({ operation: { op: 'rmdir', path }, directories: [path] })
  out.push({ operation: { op: 'rmdir', path: 'A' }, files: ['A/foo'] }) // refused
  for (const [path, to] of [
    ['foo', 'bar'],
    ['foo', 'A/bar'],
    ['A/foo', 'A/bar'],
    ['A/foo', 'B/foo'],
    ['A/C/foo', 'foo'],
  ] as const) {
    out.push({ operation: { op: 'link', path, to }, files: [path] })
    out.push({ operation: { op: 'rename', path, to }, files: [path] })
    out.push({ operation: { op: 'rename', path, to }, files: [path, to] })
  }
  out.push({ operation: { op: 'rename', path: 'foo', to: 'foo' }, files: ['foo'] })
  out.push({ operation: { op: 'rename', path: 'foo', to: 'A/bar' }, files: ['foo'], alias: 'A/bar' }) // both stay
  for (const op of ['write', 'unlink'] as const) {
    const operation =
      op === 'write' ? ({ op, path: 'foo', at: 'end', bytes: 100, stable: true } as const) : { op, path: 'foo' }
    out.push({ operation, files: ['foo'], alias: 'bar' })
  }
  for (const [path, to] of [
    ['A', 'B'],
    ['A/C', 'B'],
    ['A/C', 'B/C'],
    ['A/C', 'C'],
  ] as const) {
    out.push({ operation: { op: 'rename', path, to }, files: [`${path}/foo`] })
    out.push({ operation: { op: 'rename', path, to }, directories: [path, to] })
  }
  out.push({ operation: { op: 'rename', path: 'A', to: 'A/C' }, directories: ['A'] }) // refused
  for (const op of ['chmod', 'chown', 'utimes'] as const)
    for (const path of ['foo', 'A'])
      out.push({ operation: { op, path }, ...(path === 'A' ? { directories: ['A'] } : { files: [path] }) })
  for (const op of ['sync', 'checkpoint', 'age'] as const) out.push({ operation: { op } })
  return out
}

/** All sequences of one operation. */
export function sequencesOfOne(): readonly Sequence[] {
  return choices().map((choice) => sequence([choice]))
}

/** Space is freed, and needed at once: for a full filesystem. */
export function sequencesOfReuse(): readonly Sequence[] {
  const files = ['foo', 'bar']
  // more blocks than a full filesystem has left, not more than the three of a file
  const reuse: Choice = {
    operation: { op: 'write', path: 'bar', at: 8192, bytes: 16_000, stable: false },
    files: ['bar'],
  }
  const again: Choice = { operation: { op: 'write', path: 'foo', at: 0, bytes: 12_288, stable: true }, files: ['foo'] }
  return [
    sequence([{ operation: { op: 'unlink', path: 'foo' }, files }, reuse]),
    sequence([{ operation: { op: 'truncate', path: 'foo', size: 0 }, files }, reuse]),
    sequence([{ operation: { op: 'recreate', path: 'foo' }, files }, again]),
    sequence([{ operation: { op: 'rename', path: 'A/foo', to: 'foo' }, files: ['A/foo', ...files] }, reuse]),
    sequence([{ operation: { op: 'store', path: 'foo', bytes: 4096 }, files }, reuse]),
  ]
}

/** One of the sequences of two operations. */
export function sequenceOfTwo(prng: Prng): Sequence {
  const all = choices()
  return sequence([prng.pick(all), prng.pick(all)])
}

function sequence(steps: readonly Choice[]): Sequence {
  const model = new Model()
  const setup: Operation[] = []
  const absent = new Set<string>()
  for (const choice of steps) {
    need(choice, model, setup, absent)
    // what an earlier one makes, or moves something to, is not made before it
    for (const path of makes(choice)) absent.add(path)
  }
  const operations: Operation[] = []
  for (const choice of steps) {
    need(choice, model, operations, new Set())
    model.run(choice.operation, 0)
    operations.push(choice.operation)
  }
  return { name: operations.map(describe).join('; '), setup, operations }
}

function makes({ operation, files = [], directories = [], alias }: Choice): string[] {
  const there = new Set([...files, ...directories, alias])
  const made = 'to' in operation ? operation.to : 'path' in operation ? operation.path : undefined
  return made === undefined || there.has(made) ? [] : [made]
}

/** Adds to `out`, and does in the model, what makes everything there that the operation needs. */
function need(
  { operation, files = [], directories = [], alias }: Choice,
  model: Model,
  out: Operation[],
  absent: ReadonlySet<string>,
): void {
  const add = (...operations: Operation[]) => {
    for (const each of operations) {
      model.run(each, 0)
      out.push(each)
    }
  }
  const directory = (path: string): void => {
    if (path === '' || absent.has(path) || model.resolve(path)) return
    directory(parentOf(path))
    add({ op: 'mkdir', path })
  }
  const named = 'to' in operation ? [operation.path, operation.to] : 'path' in operation ? [operation.path] : []
  for (const path of named) directory(parentOf(path))
  for (const path of directories) directory(path)
  for (const path of files) {
    directory(parentOf(path))
    if (absent.has(path) || model.resolve(path)) continue
    add({ op: 'create', path }, { op: 'write', path, at: 0, bytes: FILE_BYTES, stable: true })
  }
  const [first] = files
  if (alias === undefined || first === undefined || absent.has(alias) || model.resolve(alias)) return
  directory(parentOf(alias))
  add({ op: 'link', path: first, to: alias })
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}
