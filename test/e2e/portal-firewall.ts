/**
 * Cuts a portal of an iSCSI target on this machine by rules of nftables, in a table of its own: what goes to the port and comes from it is dropped, as by a cable that was
 * pulled. Connections stay open, and hear nothing. The table goes with `remove`, also when the process ends; one that a killed process left goes at the next start.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const PREFIX = 'matrixfs_e2e_'

function nft(rules: string): void {
  const { status, stderr } = spawnSync('nft', ['-f', '-'], { input: rules, encoding: 'utf8' })
  if (status !== 0) throw new Error(`nft: ${stderr}`)
}

/** What it lacks on this machine; undefined when nothing. */
export function noFirewall(): string | undefined {
  if (process.platform !== 'linux') return 'nftables are of Linux'
  if (process.geteuid?.() !== 0) return 'root is needed for rules of nftables: run it with sudo'
  const { error, status, stderr } = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' })
  if (error) return 'nft is missing: apt-get install nftables'
  if (status !== 0) return `nft does not work here (in a container: --cap-add NET_ADMIN): ${stderr.trim()}`
  return undefined
}

export class PortalFirewall {
  readonly #table = `${PREFIX}${process.pid}`
  readonly #onExit = () => this.remove()

  constructor() {
    removeLeftovers()
    nft(`table inet ${this.#table} {\n  chain in {\n    type filter hook input priority 0;\n  }\n}\n`)
    process.once('exit', this.#onExit)
  }

  cut(port: number): void {
    const rule = `add rule inet ${this.#table} in`
    nft(`${rule} tcp dport ${port} drop\n${rule} tcp sport ${port} drop\n`)
  }

  heal(): void {
    nft(`flush chain inet ${this.#table} in\n`)
  }

  remove(): void {
    process.off('exit', this.#onExit)
    spawnSync('nft', ['delete', 'table', 'inet', this.#table])
  }
}

function removeLeftovers(): void {
  const { stdout } = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' })
  for (const [, table, pid] of stdout.matchAll(new RegExp(`^table inet (${PREFIX}(\\d+))$`, 'gm')))
    if (!existsSync(`/proc/${pid}`)) nft(`delete table inet ${table}\n`)
}
