/**
 * One node of a matrix of which only one lives at a time: the filesystem mounted as recovery mounts it (`Mount`), on LUNs and
 * a clock that are handed in. What the node's neighbours would do (membership, fencing, the database) is played here: a
 * view with one member, and the record with its seals.
 */
import type { Life } from '../../src/base/life.ts'
import type { Prng } from '../../src/base/prng.ts'
import { type Timings, timingsFrom } from '../../src/base/timings.ts'
import { MiB } from '../../src/base/units.ts'
import { type MutableVector, raise } from '../../src/base/vector.ts'
import type { Mesh, View } from '../../src/cluster/index.ts'
import { type Log, silentLog } from '../../src/platform/index.ts'
import { endsOfSealed, Mount } from '../../src/recovery/index.ts'
import type { FilesystemRecord, Lun, Seal } from '../../src/san/index.ts'
import type { SimHost, SimWorld } from '../sim/world.ts'

export const timings: Timings = timingsFrom(2000)

export type CrashNode = {
  readonly host: SimHost
  readonly mount: Mount
  /** With the seals of those that died before. */
  readonly record: FilesystemRecord
  readonly life: Life
}

export type NodeOptions = {
  readonly world: SimWorld
  readonly host: SimHost
  readonly luns: readonly Lun[]
  readonly record: FilesystemRecord
  readonly life: Life
  /** Lives that ended without a seal: their journals are read to the end and sealed. */
  readonly dead: readonly Life[]
  readonly prng: Prng
  readonly log?: Log
  /** The seals are in the membership database from now on. */
  readonly onSealed?: (record: FilesystemRecord) => void
}

/** Steps 3 to 7 of a recovery (src/recovery/coordinator.ts) by the only member of a view; resolves when the node serves. */
export async function startNode(options: NodeOptions): Promise<CrashNode> {
  const { world, host, luns, life, dead, prng, log = silentLog } = options
  const view: View = {
    id: 1,
    members: [{ ...life, name: host.name, address: { host: '127.0.0.1', port: 31_000 } }],
  }
  const mount = await Mount.open(
    {
      ...{ ...life, clock: host.clock, prng, log, timings, dataCacheBytes: 4 * MiB },
      mesh: meshOfOne(host, view, (payload) => mount.locks.receive(life.slot, payload)),
      luns: () => luns,
      newImageFile: () => ':memory:',
      leaseGood: () => true,
      onFatal: (_record, error) => {
        if (host.alive) world.fail(error)
      },
    },
    options.record,
  )
  const ends = await mount.readJournalsToEnd(options.record, [...dead, life], dead)
  const seals: Seal[] = dead.map((gone, i) => ({ ...gone, lsn: ends[i] as number }))
  const record = { ...options.record, seals: [...options.record.seals, ...seals].sort(bySlot) }
  options.onSealed?.(record)
  const floor: MutableVector = new Map(endsOfSealed(record))
  raise(floor, new Map([[life.slot, await mount.recover(record, view)]]))
  await mount.resume(view, floor)
  await mount.started()
  const absent = new Set(record.seals.map((seal) => seal.slot).filter((slot) => slot !== life.slot))
  for (const slot of absent) await mount.fs.adoptSlot(slot)
  return { host, mount, record, life }
}

/** Death of the process: what it has under way is for the LUN log to decide. */
export function kill({ host, mount }: CrashNode): void {
  host.crash()
  mount.withdraw(new Error('killed'))
  mount.fs.withdraw()
}

function bySlot(a: Seal, b: Seal): number {
  return a.slot - b.slot || a.incarnation - b.incarnation
}

/** A mesh whose only member talks to itself. */
function meshOfOne(host: SimHost, view: View, lock: (payload: Buffer) => void): Mesh {
  return {
    self: view.members[0]?.slot as number,
    view,
    send(_to, channel, payload) {
      const copy = Buffer.from(payload)
      if (channel === 'lock') host.clock.soon(() => lock(copy.subarray(4)))
    },
    onMessage() {},
    onRequest() {},
    request: () => Promise.reject(new Error('nobody else is in this view')),
  }
}
