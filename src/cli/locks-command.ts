/**
 * `matrix locks`: of the matrix, which node holds which lock of which file and who waits for it; with the name of a filesystem, who has locked which bytes
 * of which file there; and the end of what a client has there that is gone and will never say so.
 */
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { type Locks, locks as locksAnswer } from '../admin/api/answers.ts'
import { MatrixError } from '../base/errors.ts'
import { RANGE_END } from '../locking/index.ts'
import { ask, type NodeOptions, report, withNode } from './ask-node.ts'
import { persist } from './lun-change.ts'
import { UsageError } from './option-values.ts'
import { formatTable, type JsonOption, printable, say, sayResult, withJson } from './table.ts'

type LocksOptions = NodeOptions & JsonOption
type FreeOptions = LocksOptions & { readonly yes: boolean }
/** How much a client has. */
type ClientLocks = { readonly client: string; readonly inodes: number; readonly held: number; readonly waiting: number }

/** Of a name of a client or an owner, characters. */
const NAME_WIDTH = 40

export function locksCommand(): Command {
  const command = new Command('locks').description(
    'locks of nodes and of clients: who holds what, and who waits; and the end of those whose client is gone',
  )
  const show = withJson(withNode(new Command('show')))
    .description(
      'locks of nodes; or, of one filesystem, byte-range locks of clients (matrix locks [FILESYSTEM] is the same)',
    )
    .argument('[filesystem]', 'its name: who holds which bytes of which inode there, and who waits')
    .addHelpText(
      'after',
      `
Without a name: the locks of all filesystems between nodes, first those that somebody waits for, then those that nodes take from each other most
(heat), 200 at most.

With one: byte-range locks of all nodes, of NFS clients and of local mounts (their clients begin with @SLOT/INCARNATION/). What other nodes did in the last moments may be missing. Of each
inode the first twenty are shown. The inode of a path: stat -c %i FILE

Examples:
  matrix locks show --node http://127.0.0.1:20190
  matrix locks show home --config var/demo/n1.toml`,
    )
    .action((filesystem: string | undefined, options: LocksOptions) =>
      filesystem === undefined ? nodeLocks(options) : rangeLocks(filesystem, options),
    )
  const clientsCommand = withJson(withNode(new Command('clients')))
    .description('which clients have byte-range locks, and how many')
    .argument('<filesystem>', 'its name')
    .addHelpText('after', '\nExample:\n  matrix locks clients home --config var/demo/n1.toml')
    .action(clients)
  const freeCommand = withJson(withNode(new Command('free')))
    .description('free all byte-range locks of a client that is gone for good, at all nodes')
    .argument('<filesystem>', 'its name')
    .argument('<client>', 'its name, as matrix locks clients --json tells it')
    .option('--yes', 'do not ask; --json needs it', false)
    .addHelpText(
      'after',
      `
An NFS client keeps its locks until it frees them, or has restarted and says so. One that never comes back keeps them for ever: that is what this is for. A client
that lives believes that it still has its locks, and its programs go on without them: be sure that it is off, or cut off, first.
What a program at a local mount of a node has ends with the program.

Example:
  matrix locks free home nfs:10.0.0.7/build7 --config var/demo/n1.toml`,
    )
    .action(free)
  return command.addCommand(show, { isDefault: true }).addCommand(clientsCommand).addCommand(freeCommand)
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

async function clients(filesystem: string, { json, ...node }: LocksOptions): Promise<void> {
  const all = await clientsOf(node, filesystem)
  const rows = all.map(({ client, inodes, held, waiting }) => [
    ...[String(held), String(waiting), String(inodes)],
    printable(client),
  ])
  const head = ['held', 'waits for', 'inodes', 'client']
  sayResult(json, all, rows.length === 0 ? 'no client has locks' : formatTable(head, rows))
}

async function free(filesystem: string, client: string, { yes, json, ...node }: FreeOptions): Promise<void> {
  if (json && !yes) throw new UsageError('--json asks nothing: it needs --yes')
  const found = (await clientsOf(node, filesystem)).find((each) => each.client === client)
  if (!found)
    throw new MatrixError(
      'not-found',
      `${printable(client)} has no locks; matrix locks clients ${filesystem} tells who has`,
    )
  const what = `${found.held} locks and ${found.waiting} waiting requests of ${found.inodes} inodes`
  if (!yes && !(await isMeant(`${printable(client)} has ${what}. Is it gone for good? Then they are freed [y/N] `))) {
    say('nothing was freed')
    return
  }
  const tell = (line: string): void => void process.stderr.write(`${line}\n`)
  await persist(() => ask(node, { command: 'free-range-client', filesystem, client }), tell)
  sayResult(json, { filesystem, freed: found }, `freed: ${what}`)
}

async function clientsOf(node: NodeOptions, filesystem: string): Promise<ClientLocks[]> {
  const all: ClientLocks[] = []
  for (let after = ''; ; after = all.at(-1)?.client ?? '') {
    const { rangeClients = [] } = await ask(node, { command: 'range-clients', filesystem, after })
    if (rangeClients.length === 0) return all
    all.push(...rangeClients)
  }
}

/** Asks whoever sits there. */
async function isMeant(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError('nobody is there to be asked: it needs --yes')
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(question)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
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
