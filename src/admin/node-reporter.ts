/** What this node says of itself, made anew at each question from what its parts count: cheap, and without I/O. */
import { hostname } from 'node:os'
import { toPairs } from '../base/vector.ts'
import type { PeerAddress } from '../platform/index.ts'
import type { Mount } from '../recovery/index.ts'
import type { AdminHost } from './admin-host.ts'
import type { FilesystemReport, LockReport, NodeReport } from './api/node-report.ts'
import type { Pulse } from './process-pulse.ts'

/** Resources that one node lists at most, of one filesystem and in all. */
const LOCKS_OF_ONE = 100
const LOCKS_IN_ALL = 400

export function formatPeer({ host, port }: PeerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export async function reportNode(host: AdminHost, startedAt: number, pulse: Pulse): Promise<NodeReport> {
  const { self, clock, version } = host
  const { phase, view, peers } = host.cluster()
  const administrator = host.administrator()
  const { rss, heapUsed } = process.memoryUsage()
  return {
    ...{ name: self.name, slot: self.slot, incarnation: self.incarnation, version },
    ...{ host: hostname(), pid: process.pid, startedAt, at: clock.wall(), phase },
    view: view
      ? {
          id: view.id,
          members: view.members.map(({ slot, name, address, otherAddresses = [] }) => ({
            ...{ slot, name },
            addresses: [address, ...otherAddresses].map(formatPeer),
          })),
        }
      : null,
    administrator: administrator
      ? { slot: administrator.slot, term: administrator.term, generation: administrator.generation }
      : null,
    process: {
      rssBytes: rss,
      heapBytes: heapUsed,
      cpu: pulse.cpu,
      loopDelayMs: pulse.meanMs,
      loopDelayMaxMs: pulse.maxMs,
    },
    links: peers.map(({ slot, name, linked, link }) => ({
      ...{ slot, name, linked },
      network: link?.network ?? null,
      moves: link?.moves ?? 0,
    })),
    leases: host.leases().map(({ sector, stillMs }) => ({
      ...{ slot: sector.slot, node: sector.nodeName, state: sector.state, incarnation: sector.incarnation, stillMs },
      ...{ host: sector.hostName, pid: sector.process.pid, address: formatPeer(sector.address) },
    })),
    luns: reportLuns(host),
    filesystems: await Promise.all(host.mounts().map(reportFilesystem)),
    ...host.gateways(),
    exports: [...host.gateways().exports],
    mounts: [...host.gateways().mounts],
    keptMounts: [...host.gateways().keptMounts],
    virtualHosts: [...host.virtualHosts()],
    services: [...host.services()],
    replications: [...host.replications()],
  }
}

function reportLuns(host: AdminHost): NodeReport['luns'] {
  const states = host.lunStates()
  return host.luns().map(({ name, uuid, io, paths }) => {
    const { state = 'up', reason = null } = states[name] ?? {}
    return {
      ...{ name, uuid, state, reason },
      paths: paths.map((path) => ({
        ...{ name: path.name, state: path.state, reason: path.reason ?? null, forMs: path.forMs },
      })),
      io: Object.fromEntries(Object.entries(io).map(([kind, counters]) => [kind, { ...counters }])),
    }
  })
}

async function reportFilesystem(mount: Mount): Promise<FilesystemReport> {
  const { record, state, volume, locks, fs } = mount
  const { phase, ...counters } = { phase: locks.phase, ...locks.counters() }
  const { steps, ...lockCounts } = counters
  const { vector: _, journalUsed, checkpoint, ...metadata } = volume.stats()
  const withdrawn = state === 'withdrawn'
  const space = withdrawn ? { totalBytes: 0, freeBytes: 0, totalFiles: 0, freeFiles: 0 } : await fs.statfs()
  const { granted, caughtUp, kept, written } = steps
  const copy = ({ count, ms }: { readonly count: number; readonly ms: number }) => ({ count, ms })
  return {
    ...{ name: record.name, fsid: record.fsid, state, ...space },
    applied: withdrawn ? [] : toPairs(volume.image.vector),
    lag: [...mount.lag()],
    journal: {
      end: withdrawn ? 0 : (volume.durableVector().get(volume.slot) ?? 0),
      used: journalUsed,
      size: record.journalBytes,
    },
    checkpoint,
    lockPhase: phase,
    locks: { ...lockCounts },
    handover: { granted: copy(granted), caughtUp: copy(caughtUp), kept: copy(kept), written: copy(written) },
    metadata,
    cache: fs.stats(),
  }
}

/** Resources that this node is master of: those somebody waits for, then the hottest, then others. */
export function reportLocks({ self, mounts }: Pick<AdminHost, 'self' | 'mounts'>): LockReport[] {
  const all = mounts().flatMap(({ record, locks }) =>
    locks.status(LOCKS_OF_ONE).resources.map(({ name, heat, holders, waiters }) => ({
      ...{ filesystem: record.name, name, type: name[0] as string, number: Number(name.slice(2)) },
      ...{ master: self.name, heat, holders: [...holders], waiters: [...waiters] },
    })),
  )
  return all.sort(wantedFirst).slice(0, LOCKS_IN_ALL)
}

/** For `sort`: those that most wait for, then the hottest. */
export function wantedFirst(a: LockReport, b: LockReport): number {
  return b.waiters.length - a.waiters.length || b.heat - a.heat
}
