/** `matrix locks`: who has locked which bytes of which file, and who waits, as the running matrixd of this machine knows. */
import { Command } from 'commander'
import { RANGE_END } from '../locking/index.ts'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { formatTable, say, sayJson } from './table.ts'

type LocksOptions = NodeOptions & { readonly json: boolean }

/** Of a name of a client or an owner, characters. */
const NAME_WIDTH = 40

export function locksCommand(): Command {
  return withConfig(new Command('locks'))
    .description('byte-range locks of a filesystem: who holds which bytes of which inode, and who waits')
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
    .action(locks)
}

async function locks(filesystem: string, { config, json }: LocksOptions): Promise<void> {
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
