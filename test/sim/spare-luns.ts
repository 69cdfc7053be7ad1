/**
 * LUNs beside those that the filesystem has from the start, which are added to a simulated matrix, made part of the filesystem, and removed
 * while it runs; and what is claimed of that:
 *
 *   told      whoever is told that a change is complete finds it in the membership database, with nothing pending of it, and every
 *             member knows of it
 *   removed   once somebody was told so, no node that has ever served does I/O to the LUN (labels are read to find LUNs; nothing else),
 *             nothing of any node lands on it, until it is to be added again
 *   grown     whoever is told that the filesystem has grown finds that in the database, and every member uses the LUN for it
 *   end       when everything is healed nothing is pending, and every node has exactly the LUNs of the list
 *
 * Nodes do not reach all of them all the time, and find some in their configuration although the matrix does not have them.
 */
import { MatrixError } from '../../src/base/errors.ts'
import type { Prng } from '../../src/base/prng.ts'
import { KiB, MiB } from '../../src/base/units.ts'
import type { NodeCore } from '../../src/node/core.ts'
import type { Mount } from '../../src/recovery/index.ts'
import { type Label, type LabelledLun, type LunFinder, type LunRecord, readLabel } from '../../src/san/index.ts'
import { LABEL_A_OFFSET, labelBOffset } from '../../src/san/lun-layout.ts'
import type { AdministratorOracle } from './administrator-oracle.ts'
import { SimDisk, SimLun } from './lun.ts'
import type { SimHost, SimWorld } from './world.ts'

/** Of each spare LUN, bytes. */
const SPARE_BYTES = 64 * MiB
/** What nodes read and write of a spare LUN that was added: nothing else lies there. */
const USED_OFFSET = 3 * MiB
const USED_BYTES = 4 * KiB

/** A machine, as far as it matters here. */
type Node = {
  readonly name: string
  readonly host: SimHost | undefined
  readonly core: NodeCore | undefined
  readonly mount: Pick<Mount, 'state' | 'volume'> | undefined
}

export class SpareLuns {
  readonly disks: readonly SimDisk[]
  readonly #world: SimWorld
  readonly #databases: AdministratorOracle
  readonly #records = new Map<SimDisk, LunRecord>()
  /** `node disk`: not in reach. */
  readonly #cut = new Set<string>()
  /** `node disk`: in the configuration of the node when it starts. */
  readonly #configured = new Set<string>()
  /** Somebody was told that it is not in the list, and it is not to be added since. */
  readonly #out = new Set<SimDisk>()
  /** A node that is on its way into a view learns there what has become of the LUNs that it has open. */
  readonly #served = new WeakSet<SimHost>()

  constructor(world: SimWorld, databases: AdministratorOracle, options: { count: number; ioLifeMs: number }) {
    this.#world = world
    this.#databases = databases
    const { count, ioLifeMs } = options
    this.disks = Array.from(
      { length: count },
      (_, i) => new SimDisk(world, SPARE_BYTES, { name: `spare${i + 1}`, ioLifeMs }),
    )
    databases.onNewest = ({ luns, pending }) => {
      for (const disk of this.#out) {
        const { uuid } = this.record(disk)
        if (luns.some((lun) => lun.uuid === uuid) || (pending?.kind === 'add' && pending.lun.uuid === uuid))
          this.#out.delete(disk)
      }
    }
  }

  /** Call after other oracles have begun to watch. */
  watch(): void {
    for (const disk of this.disks) {
      const { onIssued, onLanded } = disk
      disk.onIssued = (io, by) => {
        onIssued?.(io, by)
        // to find a LUN its label is read, and the node is registered there
        const looks =
          io.op === 'reservation' || (io.op === 'read' && [LABEL_A_OFFSET, labelBOffset(disk.size)].includes(io.offset))
        if (this.#out.has(disk) && !looks && this.#served.has(by))
          this.#fail(disk, `${by.name} issues a ${io.op} at ${io.offset}`)
      }
      disk.onLanded = (landed) => {
        onLanded?.(landed)
        if (this.#out.has(disk)) this.#fail(disk, `a write of ${landed.host} lands, issued at ${landed.issuedAt}`)
      }
    }
  }

  labelled(disk: SimDisk, { lunUuid, lunName, size }: Label): void {
    this.#records.set(disk, { uuid: lunUuid, name: lunName, size })
  }

  record(disk: SimDisk): LunRecord {
    return this.#records.get(disk) as LunRecord
  }

  // ── what nodes reach ─────────────────────────────────────────────────────────────────────────────────────────────

  /** The LUNs that `node` finds in its configuration when it starts. */
  configured(node: Node): readonly SimDisk[] {
    return this.disks.filter((disk) => this.#configured.has(`${node.name} ${disk.name}`) && this.#reaches(node, disk))
  }

  finder(node: Node, host: SimHost): LunFinder {
    return {
      find: async (uuid) => {
        for (const disk of this.disks) {
          if (this.record(disk).uuid !== uuid || !this.#reaches(node, disk)) continue
          const lun = new SimLun(disk, host)
          const { label } = await readLabel(lun)
          return { lun, label } satisfies LabelledLun
        }
        return undefined
      },
      forget: () => {},
    }
  }

  cut(node: Node, disk: SimDisk): () => void {
    const key = `${node.name} ${disk.name}`
    this.#cut.add(key)
    return () => this.#cut.delete(key)
  }

  configure(node: Node, disk: SimDisk, whether: boolean): void {
    const key = `${node.name} ${disk.name}`
    if (whether) this.#configured.add(key)
    else this.#configured.delete(key)
  }

  #reaches(node: Node, disk: SimDisk): boolean {
    return !this.#cut.has(`${node.name} ${disk.name}`)
  }

  // ── what is claimed ──────────────────────────────────────────────────────────────────────────────────────────────

  /** Somebody was told in `view` that the list is as wanted, having asked when the newest database was number `asked` of all. */
  told(disk: SimDisk, wish: 'add' | 'remove', asked: number, members: readonly Node[]): void {
    const { uuid, name } = this.record(disk)
    const isSo = ({ luns, pending }: AdministratorOracle['newest'] & object) =>
      luns.some((lun) => lun.uuid === uuid) === (wish === 'add') && pending?.lun.uuid !== uuid
    const { newest } = this.#databases
    if (!this.#databases.since(asked).some(isSo))
      throw new Error(
        `the ${wish} of ${name} was told complete; the database never said so, now ${JSON.stringify(newest)}`,
      )
    if (!newest || !isSo(newest)) return // somebody who has gone away has asked for something else
    if (wish === 'remove') this.#out.add(disk)
    for (const { name: node, core } of members) {
      if (!core || core.halted) continue
      const knows = core.luns.has(uuid) || core.luns.missing.some((lun) => lun.uuid === uuid)
      if (knows !== (wish === 'add'))
        throw new Error(
          `the ${wish} of ${name} was told complete, and ${node} ${knows ? 'has it' : 'does not know it'}`,
        )
    }
  }

  /** Somebody was told in a view that the LUN is one of the filesystem's, having asked when the newest database was number `asked` of all. */
  grown(disk: SimDisk, asked: number, members: readonly Node[]): void {
    const { uuid, name } = this.record(disk)
    const isSo = ({ filesystems }: AdministratorOracle['newest'] & object) => filesystems[0]?.luns.includes(uuid)
    const databases = this.#databases.since(asked)
    if (!databases.some(isSo)) throw new Error(`growing onto ${name} was told complete; the database never said so`)
    const count = databases.findLast(isSo)?.filesystems[0]?.luns.length as number
    for (const { name: node, core, mount } of members) {
      if (core && !core.halted && mount && mount.volume.layout.lunCount < count)
        throw new Error(`growing onto ${name} was told complete, and ${node} does not use it`)
    }
  }

  /** It is one of the filesystem's, or was when the newest database was number `asked` of all. */
  inFilesystem(disk: SimDisk, asked: number): boolean {
    const { uuid } = this.record(disk)
    return this.#databases.since(asked).some(({ filesystems }) => filesystems[0]?.luns.includes(uuid))
  }

  /** What is not yet as it has to be in the end. */
  disagreement(nodes: readonly Node[]): string | undefined {
    const { newest } = this.#databases
    if (newest?.pending) return `the ${newest.pending.kind} of ${newest.pending.lun.name} is pending`
    const listed = (newest?.luns ?? []).map(({ name }) => name).sort()
    for (const { name, core } of nodes) {
      const open = (core?.luns.entries ?? []).map(({ label }) => label.lunName).sort()
      if (open.join() !== listed.join()) return `${name} has ${open}, the list is ${listed}`
    }
    return undefined
  }

  /** I/O of a node to the spare LUNs that it has. */
  use(node: Node, prng: Prng): void {
    const { host, core, mount } = node
    if (!host?.alive || mount?.state !== 'serving') return
    this.#served.add(host)
    for (const disk of this.disks) {
      const { uuid } = this.record(disk)
      if (!core?.luns.has(uuid)) continue
      const offset = USED_OFFSET + USED_BYTES * prng.below(16)
      const buffer = Buffer.alloc(USED_BYTES, prng.below(256))
      host.enter(() => {
        if (!core.luns.has(uuid)) return
        const gate = core.luns.gate(uuid)
        const io =
          buffer[0]! < 128
            ? gate.read(offset, buffer)
            : gate.write(offset, [buffer], { purpose: 'data', durable: true })
        io.catch((error) => {
          if (!(error instanceof MatrixError)) this.#world.fail(error)
        })
      })
    }
  }

  #fail(disk: SimDisk, what: string): void {
    this.#world.fail(new Error(`${disk.name} was removed, ${this.#world.now} ms: ${what}`))
  }
}
