/** The fence agents of the configuration, given this machine's processes, programs and clock. */
import type { FenceAgentName, MatrixdConfig } from '../../config/index.ts'
import type { Log } from '../platform/index.ts'
import { realClock } from '../platform/real/clock.ts'
import { realProcesses } from '../platform/real/processes.ts'
import { realPrograms } from '../platform/real/programs.ts'
import {
  type FenceAgent,
  KillAgent,
  LeaseAgent,
  type LeaseWatch,
  type NodeLease,
  type ReservedStorage,
  ScriptAgent,
  ScsiPrAgent,
} from '../san/index.ts'

export function makeFenceAgent(
  name: FenceAgentName,
  { fencing, timings, nodes }: MatrixdConfig,
  {
    lease,
    watch,
    storage,
    log,
    orphansMs,
  }: {
    readonly lease: NodeLease
    readonly watch: LeaseWatch
    readonly storage: ReservedStorage
    readonly log: Log
    readonly orphansMs: () => number
  },
): FenceAgent {
  const clock = realClock
  switch (name) {
    case 'kill':
      return new KillAgent(realProcesses, { clock, orphanIoMs: orphansMs })
    case 'scsi-pr':
      return new ScsiPrAgent({ clock, watch, lease, timings, log, ...storage, life: lease.life })
    case 'script': {
      const { path: script, timeoutMs, dryRun } = fencing.script as NonNullable<typeof fencing.script>
      return new ScriptAgent({
        ...{ clock, watch, lease, timings, log, script, timeoutMs, dryRun },
        programs: realPrograms,
        addresses: ({ slot, address }) => [address, ...(nodes.find((node) => node.slot === slot)?.otherMeshes ?? [])],
      })
    }
    case 'lease':
      return new LeaseAgent({
        ...{ clock, watch, lease },
        pollMs: timings.renewMs,
        limitMs: 4 * timings.observedDeadMs,
      })
  }
}
