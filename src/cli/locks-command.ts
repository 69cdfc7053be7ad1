/**
 * `matrix locks`: of the matrix, which node holds which lock of which file and who waits for it; with the name of a filesystem, who has locked which bytes
 * of which file there.
 */
import { Command } from 'commander'
import { type Locks, locks as locksAnswer } from '../admin/api/answers.ts'
import { RANGE_END } from '../locking/index.ts'
import { ask, type NodeOptions, report, withNode } from './ask-node.ts'
import { formatTable, type JsonOption, printable, sayResult, withJson } from './table.ts'

type LocksOptions = NodeOptions & JsonOption

/** Of a name of a client or an owner, characters. */
const NAME_WIDTH = 40

export function locksCommand(): Command {
  return withJson(withNode(new Command('locks')))
    .description('locks of nodes: who holds what, and who waits; or, of one filesystem, byte-range locks of clients')
    .argument('[filesystem]', 'its name: who holds which bytes of which inode there, and who waits')
    .addHelpText(
      'after',
      `
Without a name: the locks of all filesystems between nodes, first those that somebody waits for, then those that nodes take from each other most
(heat), 200 at most.

With one: byte-range locks of all nodes, of NFS clients and of local mounts (their clients begin with @SLOT/INCARNATION/). What other nodes did in the last moments may be missing. Of each
inode the first twenty are shown. The inode of a path: stat -c %i FILE

Examples:
  matrix locks --node http://127.0.0.1:20190
  matrix locks home --config var/demo/n1.toml`,
    )
    .action((filesystem: string | undefined, options: LocksOptions) =>
      filesystem === undefined ? nodeLocks(options) : rangeLocks(filesystem, options),
    )
}

async function nodeLocks({ json, ...node }: LocksOptions): Promise<void> {
  const answer = await report(node, '/locks', locksAnswer)
  sayResult(json, answer, describeLocks(answer))
}

export function describeLocks({ locks, masters }: Locks): string {
  const rows = locks.map(({ filesystem, name, path, meaning, holders, waiters, heat }) => [
    path === null ? meaning : printable(`${filesystem}:${path}`),
    name,
    holders.map(({ node, mode, absent }) => `${node} ${mode}${absent ? ' (has left)' : ''}`).join(', ') || 'nobody',
    waiters.map(({ node, mode, ageMs }) => `${node} ${mode} for ${Math.round(ageMs)} ms`).join(', ') || '-',
    String(Math.round(heat)),
  ])
  const silent = masters
    .filter(({ answered }) => !answered)
    .map(({ node, error }) => `those that ${node} is master of are missing: ${error}`)
  const head = ['covers', 'lock', 'held by', 'wanted by', 'heat']
  return [rows.length === 0 ? 'nothing is locked' : formatTable(head, rows), ...silent].join('\n')
}

async function rangeLocks(filesystem: string, { json, ...node }: LocksOptions): Promise<void> {
  const inodes = []
  for (let after = 0; ; after = inodes.at(-1)?.ino ?? 0) {
    const { ranges = [] } = await ask(node, { command: 'range-locks', filesystem, after })
    if (ranges.length === 0) break
    inodes.push(...ranges)
  }
  const rows = inodes.flatMap(({ ino, holders, waiters, held, waiting }) => {
    const unseen = held - holders.length + waiting - waiters.length
    return [
      ...holders.map((lock) => rowOf(ino, lock, 'held')),
      ...waiters.map((waiter) => rowOf(ino, waiter, `waits at slot ${waiter.slot}`)),
      ...(unseen > 0 ? [[String(ino), `… and ${unseen} more`]] : []),
    ]
  })
  const head = ['inode', 'bytes', 'mode', 'state', 'client', 'owner']
  sayResult(json, inodes, rows.length === 0 ? 'no bytes are locked' : formatTable(head, rows))
}

type Lock = {
  readonly start: number
  readonly end: number
  readonly mode: string
  readonly client: string
  readonly owner: string
}

function rowOf(ino: number, { start, end, mode, client, owner }: Lock, state: string): string[] {
  const bytes = start > RANGE_END ? 'flock' : `${start}-${end === RANGE_END ? '' : end}`
  return [String(ino), bytes, mode, state, shown(client), shown(owner)]
}

/** Names are anybody's: nothing of them reaches the terminal as it is but letters, digits and signs. */
function shown(name: string): string {
  const plain = JSON.stringify(name)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, '?')
  return plain.length > NAME_WIDTH ? `${plain.slice(0, NAME_WIDTH - 1)}…` : plain
}
