/** The search for an order: histories that have one, histories that have none, and what it says about those. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Operation } from '../../e2e/checker/history.ts'
import { type DirectoryAnswer, type DirectoryCall, directories } from '../../e2e/checker/models/directory.ts'
import { appendLog, type LogAnswer, type LogCall } from '../../e2e/checker/models/log.ts'
import { type RegisterAnswer, type RegisterCall, register } from '../../e2e/checker/models/register.ts'
import { describeWindow } from '../../e2e/checker/report.ts'
import { explain } from '../../e2e/checker/wgl.ts'

type Times = readonly [start: number, end: number]

function operation<Call, Answer>(
  client: string,
  [start, end]: Times,
  call: Call,
  answer: Answer | undefined,
  more: Partial<Operation<Call, Answer>> = {},
): Operation<Call, Answer> {
  return { client, at: 'n1', protocol: 'nfs', object: 'o', call, answer, durable: true, start, end, ...more }
}

type RegisterOperation = Operation<RegisterCall, RegisterAnswer>
const write = (client: string, times: Times, value: string, more?: Partial<RegisterOperation>) =>
  operation<RegisterCall, RegisterAnswer>(client, times, { kind: 'write', value }, {}, more)
const read = (client: string, times: Times, value: string, more?: Partial<RegisterOperation>) =>
  operation<RegisterCall, RegisterAnswer>(client, times, { kind: 'read' }, { value }, more)
const open = { answer: undefined, end: Number.POSITIVE_INFINITY }

const kindOf = (operations: readonly RegisterOperation[], deaths: { at: string; time: number }[] = []) =>
  explain(register, operations, { deaths }).kind

test('reads that follow the writes', () => {
  assert.is(
    kindOf([write('a', [0, 1], 'x'), read('b', [2, 3], 'x'), write('a', [4, 5], 'y'), read('b', [6, 7], 'y')]),
    'explained',
  )
})

test('a read during a write may see the old or the new value, and each of two reads another', () => {
  assert.is(kindOf([write('a', [0, 9], 'x'), read('b', [1, 2], ''), read('c', [3, 4], 'x')]), 'explained')
})

test('a stale read', () => {
  assert.is(kindOf([write('a', [0, 1], 'x'), write('a', [2, 3], 'y'), read('b', [4, 5], 'x')]), 'unexplained')
})

test('a lost update', () => {
  const history = [write('a', [0, 1], 'x'), write('b', [2, 3], 'y'), read('a', [4, 5], 'x'), read('b', [6, 7], 'x')]
  assert.is(kindOf(history), 'unexplained')
})

test('a read that goes back in time, while the write is still under way', () => {
  assert.is(kindOf([write('a', [0, 9], 'x'), read('b', [1, 2], 'x'), read('c', [3, 4], '')]), 'unexplained')
})

test('a value that nobody wrote', () => {
  assert.is(kindOf([write('a', [0, 1], 'x'), read('b', [2, 3], 'z')]), 'unexplained')
})

test('a write without an answer may take effect late, or never, but not before it began and not twice', () => {
  const lost = write('a', [0, 1], 'x', open)
  assert.is(kindOf([lost, read('b', [2, 3], ''), read('b', [4, 5], 'x'), read('b', [6, 7], 'x')]), 'explained')
  assert.is(kindOf([lost, read('b', [2, 3], ''), read('b', [4, 5], '')]), 'explained')
  assert.is(kindOf([read('b', [-2, -1], 'x'), lost]), 'unexplained')
  const again = [lost, read('b', [2, 3], 'x'), write('c', [4, 5], 'y'), read('b', [6, 7], 'y'), read('b', [8, 9], 'x')]
  assert.is(kindOf(again), 'unexplained')
})

test('a write without an answer takes effect until its end at the latest', () => {
  const lost = write('a', [0, 5], 'x', { answer: undefined })
  assert.is(kindOf([lost, read('b', [2, 3], ''), read('b', [4, 6], 'x')]), 'explained')
  assert.is(kindOf([lost, read('b', [5.5, 6], ''), read('b', [7, 8], 'x')]), 'unexplained')
})

test('the death of a node undoes what only it has shown, and nothing else', () => {
  const lost = write('a', [0, 1], 'x', open)
  const deaths = [{ at: 'n1', time: 4 }]
  const there = { at: 'n1' }
  const elsewhere = { at: 'n2' }
  assert.is(kindOf([lost, read('b', [2, 3], 'x', there), read('c', [5, 6], '', elsewhere)], deaths), 'explained')
  assert.is(kindOf([lost, read('b', [2, 3], 'x', there), read('c', [5, 6], '', elsewhere)]), 'unexplained')
  assert.is(kindOf([lost, read('b', [2, 3], 'x', elsewhere), read('c', [5, 6], '', elsewhere)], deaths), 'unexplained')
  const answered = write('a', [0, 1], 'x')
  assert.is(kindOf([answered, read('c', [5, 6], '', elsewhere)], deaths), 'unexplained')
  const volatile = write('a', [0, 1], 'x', { durable: false })
  assert.is(kindOf([volatile, read('c', [5, 6], '', elsewhere)], deaths), 'explained')
  assert.is(kindOf([volatile, read('c', [2, 3], '', elsewhere)], deaths), 'unexplained')
})

test('a death undoes changes of one directory although others have looked at the directory beside it, and newest first', () => {
  const deaths = [{ at: 'n1', time: 10 }]
  type Do = Operation<DirectoryCall, DirectoryAnswer>
  const at = (node: string, times: Times, call: DirectoryCall, answer: DirectoryAnswer, durable = false): Do =>
    operation<DirectoryCall, DirectoryAnswer>(node, times, call, answer, { at: node, durable })
  const mkdir = (node: string, times: Times, name: string, id: string, durable = false) =>
    at(node, times, { kind: 'mkdir', name, token: `t${id}` }, { id }, durable)
  const there = (node: string, times: Times, name: string, isThere: boolean) =>
    at(node, times, { kind: 'lookup', name }, isThere ? { type: 'dir' } : { error: 'ENOENT' })
  const judge = (...operations: Do[]) => explain(directories, operations, { deaths }).kind

  assert.is(
    judge(mkdir('n1', [10, 10], 'A/x', '7'), there('n2', [11, 12], 'A/x', false)),
    'explained',
    'its last answer',
  )
  const before = [mkdir('n2', [0, 1], 'B/x', '7', true), at('n1', [2, 3], { kind: 'rmdir', name: 'B/x' }, {})]
  assert.is(judge(...before, there('n2', [4, 5], 'A/x', false), there('n2', [11, 12], 'B/x', true)), 'explained')
  assert.is(judge(...before, mkdir('n2', [4, 5], 'A/x', '8'), there('n2', [11, 12], 'B/x', true)), 'explained')
  assert.is(judge(...before, there('n2', [4, 5], 'B/x', false), there('n2', [11, 12], 'B/x', true)), 'unexplained')
  // what was changed earlier is durable with what was changed later
  const both = [...before, mkdir('n1', [4, 5], 'A/y', '9')]
  assert.is(judge(...both, there('n2', [6, 7], 'A/y', true), there('n2', [11, 12], 'B/x', true)), 'unexplained')
  assert.is(judge(...both, there('n2', [11, 12], 'B/x', true), there('n2', [13, 14], 'A/y', true)), 'unexplained')
  assert.is(judge(...both, there('n2', [11, 12], 'B/x', true), there('n2', [13, 14], 'A/y', false)), 'explained')
  assert.is(judge(...both, there('n2', [11, 12], 'B/x', false), there('n2', [13, 14], 'A/y', false)), 'explained')
})

test('removals say whether there was something', () => {
  const remove = (times: Times, removed: boolean) =>
    operation<RegisterCall, RegisterAnswer>('r', times, { kind: 'remove' }, { removed })
  assert.is(
    kindOf([write('a', [0, 1], 'x'), remove([2, 3], true), remove([4, 5], false), read('b', [6, 7], '')]),
    'explained',
  )
  assert.is(kindOf([write('a', [0, 1], 'x'), remove([2, 3], true), remove([4, 5], true)]), 'unexplained')
})

test('the window is the smallest there is, and reads as a timeline', () => {
  const long = Array.from({ length: 500 }, (_, i) => [
    write('a', [10 * i, 10 * i + 4], `v${i}`),
    read('b', [10 * i + 2, 10 * i + 6], `v${i}`),
  ]).flat()
  const verdict = explain(register, [...long, read('c', [5001, 5002], 'v499'), read('b', [5001, 5003], 'v498')])
  assert.ok(verdict.kind === 'unexplained')
  assert.is(verdict.window.length, 1)
  assert.equal(verdict.before, ['v499'])
  const text = describeWindow('f[1]', register, verdict)
  assert.match(text, /f\[1\]: no order explains these 1 operations/)
  assert.match(text, /before them: v499/)
  assert.match(text, /b nfs@n1 .*read: v498/)
})

test('beyond the bound nothing is called explained', () => {
  const together = Array.from({ length: 12 }, (_, i) => write(`c${i}`, [0, 100 + i], `v${i}`))
  const last = [read('r', [200, 201], 'v3'), read('r', [202, 203], 'v5')]
  assert.is(explain(register, [...together, ...last], { bound: 50 }).kind, 'undecided')
})

test('a log holds all records in one order', () => {
  const append = (client: string, times: Times, record: string) =>
    operation<LogCall, LogAnswer>(client, times, { kind: 'append', record }, {})
  const records = (times: Times, ...all: string[]) =>
    operation<LogCall, LogAnswer>('r', times, { kind: 'read' }, { records: all })
  const both = [append('a', [0, 9], 'x'), append('b', [0, 9], 'y')]
  assert.is(explain(appendLog, [...both, records([3, 4], 'y'), records([10, 11], 'y', 'x')]).kind, 'explained')
  assert.is(explain(appendLog, [...both, records([3, 4], 'y'), records([10, 11], 'x', 'y')]).kind, 'unexplained')
  assert.is(explain(appendLog, [...both, records([10, 11], 'y')]).kind, 'unexplained', 'an append is lost')
})

const dir = (client: string, times: Times, call: DirectoryCall, answer: DirectoryAnswer | undefined) =>
  operation<DirectoryCall, DirectoryAnswer>(client, times, call, answer)
const create = (client: string, times: Times, name: string, answer: DirectoryAnswer | undefined) =>
  dir(client, times, { kind: 'create', name, exclusive: true, token: `${client}${times[0]}` }, answer)
const lookup = (times: Times, name: string, answer: DirectoryAnswer) =>
  dir('l', times, { kind: 'lookup', name }, answer)
const verdictOf = (...operations: Operation<DirectoryCall, DirectoryAnswer>[]) => explain(directories, operations).kind

test('of two exclusive creates one wins', () => {
  const exists = { error: 'EEXIST' }
  assert.is(verdictOf(create('a', [0, 5], 'A/x', { id: '7' }), create('b', [1, 4], 'A/x', exists)), 'explained')
  assert.is(verdictOf(create('a', [0, 5], 'A/x', { id: '7' }), create('b', [1, 4], 'A/x', { id: '8' })), 'unexplained')
  assert.is(verdictOf(create('a', [0, 5], 'A/x', exists)), 'unexplained', 'nothing was there')
})

test('a rename is one step: never both names, never none', () => {
  const rename = dir('m', [10, 20], { kind: 'rename', name: 'A/x', to: 'B/y' }, {})
  const made = create('a', [0, 1], 'A/x', { id: '7' })
  const list = (times: Times, directory: string, entries: Record<string, { id: string }>) =>
    dir('l', times, { kind: 'list', directory }, { entries })
  assert.is(
    verdictOf(made, rename, list([11, 12], 'A', { x: { id: '7' } }), list([13, 14], 'B', { y: { id: '7' } })),
    'explained',
  )
  assert.is(
    verdictOf(made, rename, list([11, 12], 'B', { y: { id: '7' } }), list([13, 14], 'A', { x: { id: '7' } })),
    'unexplained',
    'both',
  )
  assert.is(verdictOf(made, rename, list([11, 12], 'A', {}), list([13, 14], 'B', {})), 'unexplained', 'none')
})

test('errors are answers', () => {
  const mkdir = dir('a', [0, 1], { kind: 'mkdir', name: 'A/d', token: 't' }, { id: '9' })
  const child = dir('a', [2, 3], { kind: 'createIn', id: '9', child: 'c' }, {})
  const rmdir = (times: Times, answer: DirectoryAnswer) => dir('b', times, { kind: 'rmdir', name: 'A/d' }, answer)
  assert.is(verdictOf(mkdir, child, rmdir([4, 5], { error: 'ENOTEMPTY' })), 'explained')
  assert.is(verdictOf(mkdir, child, rmdir([4, 5], {})), 'unexplained')
  assert.is(
    verdictOf(
      mkdir,
      rmdir([4, 5], {}),
      dir('a', [6, 7], { kind: 'createIn', id: '9', child: 'c' }, { error: 'ESTALE' }),
    ),
    'explained',
  )
  assert.is(verdictOf(mkdir, dir('b', [4, 5], { kind: 'unlink', name: 'A/d' }, { error: 'EISDIR' })), 'explained')
  assert.is(verdictOf(mkdir, dir('b', [4, 5], { kind: 'unlink', name: 'A/d' }, { error: 'ENOENT' })), 'unexplained')
})

test('link counts, and inode numbers that only some answers tell', () => {
  const made = create('h', [0, 1], 'A/x', {})
  const linked = dir('a', [4, 5], { kind: 'link', id: '7', to: 'B/z' }, {})
  const seen = lookup([2, 3], 'A/x', { type: 'file', id: '7', links: 1 })
  assert.is(verdictOf(made, seen, linked, lookup([6, 7], 'B/z', { id: '7', links: 2 })), 'explained')
  assert.is(verdictOf(made, seen, linked, lookup([6, 7], 'B/z', { id: '7', links: 1 })), 'unexplained')
  assert.is(verdictOf(made, seen, lookup([6, 7], 'A/x', { id: '8' })), 'unexplained')
})

test('a create without an answer may be there, with whatever number', () => {
  const lost = { ...create('a', [0, 1], 'A/x', undefined), end: Number.POSITIVE_INFINITY }
  assert.is(
    verdictOf(lost, lookup([2, 3], 'A/x', { error: 'ENOENT' }), lookup([4, 5], 'A/x', { id: '5' })),
    'explained',
  )
  assert.is(
    verdictOf(lost, lookup([2, 3], 'A/x', { id: '5' }), lookup([4, 5], 'A/x', { error: 'ENOENT' })),
    'unexplained',
  )
})

test.run()
