/**
 * `matrix locks`: who has locked which bytes of which file, and who waits, as the running matrixd of this machine knows; and the end of what a client
 * has that is gone and will never say so.
 */
import { createInterface } from 'node:readline/promises'
import { Command } from 'commander'
import { MatrixError } from '../base/errors.ts'
import { RANGE_END } from '../locking/index.ts'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { persist } from './lun-change.ts'
import { UsageError } from './option-values.ts'
import { formatTable, say, sayJson } from './table.ts'

type LocksOptions = NodeOptions & { readonly json: boolean }
type FreeOptions = LocksOptions & { readonly yes: boolean }
/** How much a client has. */
type ClientLocks = { readonly client: string; readonly inodes: number; readonly held: number; readonly waiting: number }

/** Of a name of a client or an owner, characters. */
const NAME_WIDTH = 40

export function locksCommand(): Command {
  return new Command('locks')
    .description('byte-range locks of a filesystem: who holds them, and the end of those whose client is gone')
    .addCommand(
      withConfig(new Command('list'))
        .description('who holds which bytes of which inode, and who waits (matrix locks FILESYSTEM is the same)')
        .argument('<filesystem>', 'its name')
        .option('--json', 'as JSON', false)
        .addHelpText(
          'after',
          `
Locks of all nodes, of NFS clients and of local mounts (their clients begin with @SLOT/INCARNATION/). What other nodes did in the last moments may be missing. Of each
inode the first twenty are shown. The inode of a path: stat -c %i FILE

Example:
  matrix locks home --config var/demo/n1.toml`,
        )
        .action(list),
      { isDefault: true },
    )
    .addCommand(
      withConfig(new Command('clients'))
        .description('which clients have locks, and how many')
        .argument('<filesystem>', 'its name')
        .option('--json', 'as JSON', false)
        .addHelpText('after', '\nExample:\n  matrix locks clients home --config var/demo/n1.toml')
        .action(clients),
    )
    .addCommand(
      withConfig(new Command('free'))
        .description('free all locks of a client that is gone for good, at all nodes')
        .argument('<filesystem>', 'its name')
        .argument('<client>', 'its name, as matrix locks clients --json tells it')
        .option('--yes', 'do not ask', false)
        .option('--json', 'as JSON; needs --yes', false)
        .addHelpText(
          'after',
          `
An NFS client keeps its locks until it frees them, or has restarted and says so. One that never comes back keeps them for ever: that is what this is for. A client
that lives believes that it still has its locks, and its programs go on without them: be sure that it is off, or cut off, first.
What a program at a local mount of a node has ends with the program.

Example:
  matrix locks free home nfs:10.0.0.7/build7 --config var/demo/n1.toml`,
        )
        .action(free),
    )
}

async function list(filesystem: string, { config, json }: LocksOptions): Promise<void> {
  const inodes = []
  for (let after = 0; ; after = inodes.at(-1)?.ino ?? 0) {
    const { ranges = [] } = await ask(config, { command: 'range-locks', filesystem, after })
    if (ranges.length === 0) break
    inodes.push(...ranges)
  }
  if (json) return sayJson(inodes)
  if (inodes.length === 0) return say('no bytes are locked')
  const rows = inodes.flatMap(({ ino, holders, waiters, held, waiting }) => {
    const unseen = held - holders.length + waiting - waiters.length
    return [
      ...holders.map((lock) => rowOf(ino, lock, 'held')),
      ...waiters.map((waiter) => rowOf(ino, waiter, `waits at slot ${waiter.slot}`)),
      ...(unseen > 0 ? [[String(ino), `… and ${unseen} more`]] : []),
    ]
  })
  say(formatTable(['inode', 'bytes', 'mode', 'state', 'client', 'owner'], rows))
}

async function clients(filesystem: string, { config, json }: LocksOptions): Promise<void> {
  const all = await clientsOf(config, filesystem)
  if (json) return sayJson(all)
  if (all.length === 0) return say('no client has locks')
  const rows = all.map(({ client, inodes, held, waiting }) => [
    ...[String(held), String(waiting), String(inodes)],
    printable(client),
  ])
  say(formatTable(['held', 'waits for', 'inodes', 'client'], rows))
}

async function free(filesystem: string, client: string, { config, yes, json }: FreeOptions): Promise<void> {
  if (json && !yes) throw new UsageError('--json asks nothing: it needs --yes')
  const found = (await clientsOf(config, filesystem)).find((each) => each.client === client)
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
  await persist(() => ask(config, { command: 'free-range-client', filesystem, client }), tell)
  if (json) sayJson({ filesystem, freed: found })
  else say(`freed: ${what}`)
}

async function clientsOf(config: string, filesystem: string): Promise<ClientLocks[]> {
  const all: ClientLocks[] = []
  for (let after = ''; ; after = all.at(-1)?.client ?? '') {
    const { rangeClients = [] } = await ask(config, { command: 'range-clients', filesystem, after })
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

function shown(name: string): string {
  const plain = printable(name)
  return plain.length > NAME_WIDTH ? `${plain.slice(0, NAME_WIDTH - 1)}…` : plain
}

/** Names are anybody's: nothing of them reaches the terminal as it is but letters, digits and signs. */
function printable(name: string): string {
  return JSON.stringify(name)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, '?')
}
