/**
 * What a node does once it is administrator: recovers after a change of membership, and changes the list of LUNs. Both write the membership
 * database, by way of the one seat.
 */

import type { Slot } from '../base/ids.ts'
import type { Life } from '../base/life.ts'
import type { Timings } from '../base/timings.ts'
import type { Mesh, View } from '../cluster/index.ts'
import type { Clock, Log } from '../platform/index.ts'
import { Fencing, Isolation, LunChanges, type Mount, Recovery, SanSeat, type Timeline } from '../recovery/index.ts'
import {
  type FenceAgent,
  type FilesystemRecord,
  type LeaseWatch,
  type LunPlace,
  type LunTable,
  type MembershipDatabase,
  type MembershipStore,
  type Partitions,
  SanLock,
} from '../san/index.ts'

export type AdministrationOptions = {
  readonly mesh: Mesh
  readonly clock: Clock
  readonly log: Log
  readonly timings: Timings
  readonly timeline: Timeline
  readonly life: Life
  readonly watch: LeaseWatch
  readonly agents: readonly FenceAgent[]
  readonly partitions: Partitions
  readonly store: MembershipStore
  readonly luns: LunTable
  /** This node's mount of a filesystem, opened when it is not yet. */
  mount(record: FilesystemRecord): Promise<Mount>
  adopt(record: FilesystemRecord, slots: readonly Slot[]): void
  /** By this node's mount of the filesystem. */
  isEmptied(place: LunPlace): Promise<boolean>
  /** A filesystem was marked in error. */
  inError(filesystem: string, error: string): void
  /** Recovery of a view is over. */
  resumed(view: View): void
  /** A change of LUNs is finished. */
  finished(database: MembershipDatabase): void
}

export class Administration {
  readonly seat: SanSeat
  readonly lunChanges: LunChanges
  readonly isolation: Isolation
  readonly #recovery: Recovery

  constructor(options: AdministrationOptions) {
    const { life, watch, partitions, store, luns, log } = options
    const fencing = new Fencing(options)
    const seat = new SanSeat({ lock: new SanLock({ partitions, life, log }), store, fencing })
    const database = {
      readDatabase: () => seat.readDatabase(),
      writeDatabase: seat.writeDatabase.bind(seat),
      finishChange: seat.finishChange.bind(seat),
    }
    const lunChanges = new LunChanges({
      ...options,
      ...database,
      hasResumed: (view) => this.#recovery.resumed === view.id,
      mayBearPartition: (uuid) => luns.mayBearPartition(uuid),
      relabel: (lun, before) => luns.relabel(lun, before),
    })
    const isolation = new Isolation({
      ...options,
      ...database,
      again: (view) => this.#recovery.again(view, (work) => lunChanges.exclusive(work)),
      exclusive: (work) => lunChanges.exclusive(work),
    })
    this.#recovery = new Recovery({
      ...options,
      ...database,
      fencing,
      isolation,
      scanLeases: () => watch.scan(),
      finishPending: (view, found) => lunChanges.finishPending(view, found),
      readJournalsToEnd: async (record, writers, dead) =>
        (await options.mount(record)).readJournalsToEnd(record, writers, dead),
    })
    this.seat = seat
    this.lunChanges = lunChanges
    this.isolation = isolation
  }

  /** This node is administrator of `view`. */
  begin(view: View): void {
    void this.#recovery.run(view)
  }
}
