/**
 * NSM version 1 as an RPC program. A client that has restarted says so (SM_NOTIFY), and its locks are freed. SM_MON and its kin are
 * for programs of this machine, which are called back here; of anybody else they would make us call whom he likes.
 */

import { isLoopback, plainAddress } from '../../export/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { LOCAL_CALLS_MAX, LOCAL_MONITORS_MAX, NOTIFY_LIMIT_MS } from '../limits.ts'
import type { LockManager } from '../nlm/lock-manager.ts'
import type { Hosts } from '../portmap/hosts.ts'
import { CallError } from '../rpc/caller.ts'
import type { Session } from '../rpc/session.ts'
import { NoAnswer, TableProgram } from '../rpc/table-program.ts'
import { procedure } from '../xdr/procedure.ts'
import { nothing } from '../xdr/types.ts'
import type { Monitor } from './monitor.ts'
import * as t from './tables.ts'

export type NsmProgramOptions = {
  readonly monitor: Monitor
  readonly manager: LockManager
  readonly hosts: Hosts
  /** SM_SIMU_CRASH: as if this node had restarted. */
  readonly simulateCrash: () => void
  readonly clock: Clock
  readonly log: Log
}

/** A program of this machine that wants to know of a host's restart. */
type LocalMonitor = { readonly name: string; readonly caller: t.NsmCaller; readonly private: Buffer }

export function nsmProgram(options: NsmProgramOptions): TableProgram<typeof t.nsmProcedures> {
  const { monitor, manager, hosts, simulateCrash, clock, log } = options
  let monitors: LocalMonitor[] = []
  let callsBack = 0
  const state = () => ({ state: monitor.state })
  return new TableProgram({
    ...{ name: 'nsm', number: t.NSM_PROGRAM, version: t.NSM_V1, clock },
    table: t.nsmProcedures,
    handlers: {
      NULL: () => {},
      STAT: () => ({ status: t.STAT_SUCC, ...state() }),
      MON: ({ monitored, private: back }, { session }) => {
        const others = monitors.filter((each) => !isSame(each, monitored))
        if (!isLocal(session) || others.length >= LOCAL_MONITORS_MAX) return { status: t.STAT_FAIL, ...state() }
        monitors = [...others, { ...monitored, private: back }]
        return { status: t.STAT_SUCC, ...state() }
      },
      UNMON: (monitored, { session }) => {
        if (isLocal(session)) monitors = monitors.filter((each) => !isSame(each, monitored))
        return state()
      },
      UNMON_ALL: (caller, { session }) => {
        if (isLocal(session)) monitors = monitors.filter((each) => !isSame(each, { name: each.name, caller }))
        return state()
      },
      SIMU_CRASH: (_, { session }) => {
        if (isLocal(session)) simulateCrash()
      },
      NOTIFY: async ({ name, state: theirs }, { session }) => {
        const address = plainAddress(session.client.address)
        for (const each of monitors) if (each.name === name) callBack(each, theirs)
        if (monitor.wasHeard(address, name, theirs)) return
        log.info({ address, name, state: theirs }, 'an nfs client has restarted: its locks are freed')
        await manager.freeHost(address, name, theirs).catch((error) => {
          throw new NoAnswer(`the locks of ${name} could not be freed: ${String(error)}`)
        })
        monitor.settled(address, name, theirs)
      },
    },
    once: ['NOTIFY', 'SIMU_CRASH'],
  })

  function callBack({ name, caller, private: back }: LocalMonitor, theirs: number): void {
    if (callsBack >= LOCAL_CALLS_MAX) return // anybody can send notifications
    callsBack++
    const host = { address: '127.0.0.1', transport: 'udp', localAddress: undefined } as const
    const called = procedure(caller.procedure, t.statusCall, nothing)
    const args = { name, state: theirs, private: back }
    const bytes = { limitMs: NOTIFY_LIMIT_MS, argumentBytes: 2 * t.NSM_NAME_MAX }
    hosts
      .call(host, caller, called, args, bytes)
      .catch((error) => {
        if (!(error instanceof CallError)) throw error
        log.warn({ name, program: caller.program, error: error.message }, 'a local program was not told of a restart')
      })
      .finally(() => callsBack--)
  }
}

function isLocal({ client }: Session): boolean {
  return isLoopback(plainAddress(client.address))
}

function isSame(one: Pick<LocalMonitor, 'name' | 'caller'>, other: Pick<LocalMonitor, 'name' | 'caller'>): boolean {
  const [a, b] = [one.caller, other.caller]
  return (
    one.name === other.name &&
    a.name === b.name &&
    a.program === b.program &&
    a.version === b.version &&
    a.procedure === b.procedure
  )
}
