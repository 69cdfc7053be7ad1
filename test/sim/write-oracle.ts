/**
 * Watches every write to the LUNs: a node whose lease is over issues none, and after a fence agent has vouched for a node's
 * powerlessness nothing of that life changes a LUN.
 *
 *   lease  nothing of it lands any more: its last write was issued before the lease was over, and its life is over, too; or it has
 *          given the lease back, when nothing of it was under way
 *   script nothing of it lands any more: its lease was over, and what was under way is what the script's word is taken for. Lease
 *          sectors aside: a renewal may be issued until the very end of a lease, and nobody but its slot reads anything into it.
 *   scsi-pr nothing of it lands any more, renewals included: its registrations are gone, and its lease is over.
 *   kill   nothing of it lands any more: the process was gone, and what it had under way decided (a system call had ended, or a command to a target was waited for). The same holds when the lease
 *          agent found the slot claimed by the next life: the process before it was gone.
 */
import type { Life } from '../../src/base/life.ts'
import type { Timings } from '../../src/base/timings.ts'
import { type FenceAgent, registrationKey } from '../../src/san/index.ts'
import { AdministratorOracle } from './administrator-oracle.ts'
import type { Landed, SimDisk } from './lun.ts'
import type { AtLife } from './oracle.ts'
import type { ThreadLease } from './thread-lease.ts'
import type { SimHost, SimWorld } from './world.ts'

class Watched implements AtLife {
  readonly name: string
  readonly lease: ThreadLease
  /** Its lease was once known to be good until then, ms of the world. */
  goodUntil: number
  fenced: { readonly by: string; readonly at: number } | undefined
  readonly #world: SimWorld
  /** The main one first. */
  readonly threads: readonly SimHost[]
  readonly #main: SimHost

  constructor(world: SimWorld, lease: ThreadLease, threads: readonly SimHost[]) {
    const main = threads[0] as SimHost
    this.#world = world
    this.threads = threads
    this.#main = main
    this.lease = lease
    this.name = `${main.name}@${lease.life.incarnation}`
    this.goodUntil = main.worldTime(lease.goodUntil())
  }

  /** It is known to be good until then now, ms of the world. */
  get goodNow(): number {
    return this.#main.worldTime(this.lease.goodUntil())
  }

  /** Its process has ended, and its last system call with it. */
  get gone(): boolean {
    return this.#main.gone
  }

  get processGone(): boolean {
    return this.#main.processGone
  }

  get goneAt(): number | undefined {
    return this.#main.crashedAt
  }

  over(): boolean {
    return !this.#main.alive || this.goodNow <= this.#world.now
  }

  get endedAt(): number | undefined {
    return this.over() ? Math.min(this.goneAt ?? Number.POSITIVE_INFINITY, this.goodUntil) : undefined
  }
}

export class WriteOracle {
  readonly #world: SimWorld
  readonly #timings: Timings
  readonly #disks: readonly SimDisk[]
  readonly #lives = new Map<string, Watched>()
  readonly #hosts = new Map<SimHost, Watched>()
  readonly administrators: AdministratorOracle
  fences = 0

  /** `disks`: those of the filesystem and the membership partitions. */
  constructor(world: SimWorld, timings: Timings, disks: readonly SimDisk[]) {
    this.#world = world
    this.#disks = disks
    this.#timings = timings
    this.administrators = new AdministratorOracle(world)
  }

  watch(disk: SimDisk): void {
    disk.onLanded = (landed) => this.#landed(disk, landed)
    disk.onIssued = (io, by) => {
      const life = this.#hosts.get(by)
      if (!life) return
      const goodUntil = life.goodNow
      life.goodUntil = Math.max(life.goodUntil, goodUntil)
      if (io.op !== 'write' || io.purpose === 'lease') return
      // by the clock of the machine, which may run too fast: it is what the guard is measured by
      const leftMs = (goodUntil - this.#world.now) * by.machine.rate
      if (!(leftMs > this.#timings.guardMs))
        this.#fail(disk, `${by.name} issues a write (${io.purpose} at ${io.offset}) ${leftMs} ms before its lease ends`)
    }
  }

  /** A life of a node has claimed its lease; its I/O comes from these threads of it. */
  begins(lease: ThreadLease, threads: readonly SimHost[]): void {
    const life = new Watched(this.#world, lease, threads)
    this.#lives.set(nameOf(lease.life), life)
    for (const thread of threads) this.#hosts.set(thread, life)
  }

  /** Of a life: none when it has no lease yet. */
  threadsOf(life: Life): readonly SimHost[] {
    return this.#lives.get(nameOf(life))?.threads ?? []
  }

  /** A life that has a lease, or had one. */
  life(host: SimHost): AtLife {
    const life = this.#hosts.get(host)
    if (!life) throw new Error(`${host.name} has never had a lease`)
    return life
  }

  /** The agent, taken at its word. */
  witness(agent: FenceAgent): FenceAgent {
    return {
      name: agent.name,
      ...(agent.isGone && {
        isGone: (victim) => {
          const gone = agent.isGone?.(victim) === true
          const life = this.#lives.get(nameOf(victim))
          if (gone && life && !life.processGone)
            this.#world.fail(new Error(`agent ${agent.name} says that ${life.name} is gone`))
          return gone
        },
      }),
      fence: async (victim, abort) => {
        const outcome = await agent.fence(victim, abort)
        const life = this.#lives.get(nameOf(victim))
        if (outcome === 'fenced' && life) {
          this.fences++
          this.#doubt(agent, life)
          life.fenced ??= { by: agent.name, at: this.#world.now }
        }
        return outcome
      },
    }
  }

  #doubt({ name }: FenceAgent, life: Watched): void {
    const { now } = this.#world
    const isOver = life.lease.givenBack || now >= life.goodUntil + this.#timings.ioLifeMs
    if (life.gone || (['lease', 'scsi-pr'].includes(name) && isOver)) return
    if (name === 'script' && (life.lease.givenBack || now >= life.goodUntil)) return
    if (name === 'scsi-pr') {
      const key = registrationKey(life.lease.life)
      const where = this.#disks.find(({ reservations }) => reservations.has(key))
      if (now >= life.goodUntil && !where) return
      if (where) this.#fail(where, `agent scsi-pr vouches for ${life.name}, which is registered there`)
    }
    this.#world.fail(
      new Error(`agent ${name} vouches for a node at ${now} whose lease was good until ${life.goodUntil}`),
    )
  }

  #landed(disk: SimDisk, landed: Landed): void {
    const { by, host, purpose, offset, issuedAt } = landed
    if (purpose === 'membership') this.administrators.landed(landed)
    const life = this.#hosts.get(by)
    if (!life?.fenced) return
    const { fenced } = life
    // the word itself that it is given back may reach the slowest of three partitions after it was read on the others
    if (purpose === 'lease' && (fenced.by === 'script' || life.lease.givenBack)) return
    const what = `${purpose} at ${offset}, issued at ${issuedAt}`
    this.#fail(disk, `a write of ${host} (${what}) lands, which agent ${fenced.by} fenced at ${fenced.at}`)
  }

  #fail(disk: SimDisk, what: string): void {
    this.#world.fail(new Error(`${disk.name}, ${this.#world.now} ms: ${what}`))
  }
}

function nameOf({ slot, incarnation }: Life): string {
  return `${slot}/${incarnation}`
}
