/**
 * Entry of the thread that keeps the disk lease (lease-thread.ts starts it). Nobody can hand a thread the real clock and files, so
 * this is the one file of the floor that takes them by itself. It only wires; what it runs is `DiskLease`.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { unreachable } from '../base/assert.ts'
import { isMatrixError } from '../base/errors.ts'
import type { Log, LogFields } from '../platform/log.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost } from '../platform/real/host.ts'
import { realProcesses } from '../platform/real/processes.ts'
import { DiskLease } from './disk-lease.ts'
import type { FromLeaseThread, LeaseCommand, LeaseThreadData, ToLeaseThread } from './lease-messages.ts'
import { openPartitions } from './membership-luns.ts'
import { openLun } from './open-lun.ts'
import { LeaseRegistration } from './registration.ts'

const { lunUrls, partitions, reserves, owner, timings, orphanIoMs, deadline } = workerData as LeaseThreadData
const shared = new Float64Array(deadline)

function say(message: FromLeaseThread): void {
  parentPort?.postMessage(message)
}

function failure(error: unknown) {
  const text = error instanceof Error ? error.message : String(error)
  return { code: isMatrixError(error) ? error.code : 'lun-io', text } as const
}

function logTo(level: 'debug' | 'info' | 'warn' | 'error') {
  // an error object loses its class on the way: its text is what matters
  return (fields: LogFields, text: string): void => {
    const { error } = fields
    say({ kind: 'log', level, fields: error instanceof Error ? { ...fields, error: error.message } : fields, text })
  }
}

const log: Log = {
  debug: logTo('debug'),
  info: logTo('info'),
  warn: logTo('warn'),
  error: logTo('error'),
  child: () => log,
}

function run(lease: DiskLease, command: LeaseCommand): Promise<void> {
  switch (command.kind) {
    case 'set-state':
      return lease.setState(command.state)
    case 'request-fence':
      return lease.requestFence(command.victims)
    case 'release':
      return lease.release()
    default:
      return unreachable(command)
  }
}

try {
  const luns = await Promise.all(lunUrls.map((url) => openLun(url, realHost, { timings, log })))
  const lease = await DiskLease.claim({
    partitions: openPartitions(luns, partitions, { clock: realClock, timings }),
    ...(reserves && { registration: new LeaseRegistration(luns) }),
    clock: realClock,
    processes: realProcesses,
    timings,
    orphanIoMs,
    log,
    owner,
    onEnd: (end) => say({ kind: 'ended', end }),
    publish: (goodUntil) => {
      shared[0] = goodUntil
    },
  })
  parentPort?.on('message', ({ id, command }: ToLeaseThread) => {
    run(lease, command).then(
      () => say({ kind: 'done', id }),
      (error) => say({ kind: 'failed', id, ...failure(error) }),
    )
  })
  say({ kind: 'claimed', incarnation: lease.life.incarnation })
} catch (error) {
  say({ kind: 'refused', ...failure(error) })
}
