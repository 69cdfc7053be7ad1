/** A few simulated nodes that claim leases on one disk: what the lease tests share. */
import { timingsFrom } from '../../../src/base/timings.ts'
import { MiB } from '../../../src/base/units.ts'
import { silentLog } from '../../../src/platform/log.ts'
import {
  DiskLease,
  type DiskLeaseOptions,
  LeaseAgent,
  type LeaseEnd,
  LeaseWatch,
  Partitions,
  PseudoStorageDriver,
} from '../../../src/san/index.ts'
import { SimDisk, SimLun } from '../../sim/lun.ts'
import { SimProcessTable } from '../../sim/processes.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

export const timings = timingsFrom(400)

export class LeaseWorld {
  readonly world: SimWorld
  readonly disk: SimDisk
  readonly processes = new SimProcessTable()
  readonly #hasOrphans: boolean

  constructor(seed: number, latencyMs: readonly [number, number] = [0.05, 5], { hasOrphans = false } = {}) {
    this.#hasOrphans = hasOrphans
    this.world = new SimWorld(seed)
    this.disk = new SimDisk(this.world, 64 * MiB, { ioLifeMs: timings.ioLifeMs, latencyMs })
  }

  /** A process of node `slot` on `machine`, that has not claimed yet. */
  node(slot: number, machine = `m${slot}`, override: Partial<DiskLeaseOptions['owner']> = {}, hostName = `n${slot}`) {
    const host = new SimHost(this.world, hostName, undefined, this.#hasOrphans)
    const lun = new SimLun(this.disk, host)
    const processes = this.processes.add(host, machine)
    const ends: LeaseEnd[] = []
    const options: DiskLeaseOptions = {
      partitions: new Partitions([lun], { clock: host.clock, timings }),
      clock: host.clock,
      processes,
      timings,
      orphanIoMs: this.#hasOrphans ? timings.orphanIoMs : 0,
      log: silentLog,
      owner: {
        slot,
        nodeName: `n${slot}`,
        hostName: machine,
        address: { host: '127.0.0.1', port: 20001 + slot },
        process: processes.self(),
        nonce: this.world.prng.uuid(),
        ...override,
      },
      onEnd: (end) => ends.push(end),
    }
    return { host, lun, processes, options, ends, claim: () => DiskLease.claim(options) }
  }

  /** A node with a lease, a watch and a fence gate. */
  async start(slot: number, machine?: string) {
    const node = this.node(slot, machine)
    const lease = await this.world.settle(node.claim())
    const { clock } = node.host
    const watch = new LeaseWatch({ partitions: node.options.partitions, clock, timings, log: silentLog })
    watch.start()
    const psd = new PseudoStorageDriver(node.lun, { clock, lease, guardMs: timings.guardMs })
    const agent = new LeaseAgent({ clock, watch, lease, pollMs: timings.renewMs, limitMs: 5 * timings.observedDeadMs })
    return { ...node, lease, watch, psd, agent }
  }
}
