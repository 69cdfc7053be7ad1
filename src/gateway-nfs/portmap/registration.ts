/**
 * Where another program of this machine (rpcbind) has port 111, it is told of our services, and told again when we stop: by its
 * socket, where it knows that it is root who speaks. The kernel and rpc.mountd do the same.
 */
import type { Log } from '../../platform/log.ts'
import { CallError, type RpcCaller } from '../rpc/caller.ts'
import type { Service, Services } from './services.ts'
import { type Binding, PORTMAP_PROGRAM, RPCBIND_V4, rpcbind4Procedures } from './tables.ts'

/** Where rpcbind listens for programs of its machine, on Linux and on BSDs. */
export const RPCBIND_SOCKETS = ['/run/rpcbind.sock', '/var/run/rpcbind.sock'] as const
const LIMIT_MS = 2_000
const RPCBIND = { program: PORTMAP_PROGRAM, version: RPCBIND_V4 }

export class Registration {
  readonly #caller: RpcCaller
  readonly #path: string
  readonly #log: Log
  #made: Binding[] = []

  constructor(options: { readonly caller: RpcCaller; readonly path: string; readonly log: Log }) {
    this.#caller = options.caller
    this.#path = options.path
    this.#log = options.log
  }

  /** True when every service is known there. What a process before us has left is replaced; rejects with CallError. */
  async add(services: Services): Promise<boolean> {
    for (const binding of bindingsOf(services, services.list)) {
      if (!(await this.#ask('SET', binding))) {
        await this.#ask('UNSET', binding)
        if (!(await this.#ask('SET', binding))) return false
      }
      this.#made.push(binding)
    }
    return true
  }

  /** Never rejects. */
  async remove(): Promise<void> {
    const made = this.#made
    this.#made = []
    for (const binding of made) {
      await this.#ask('UNSET', binding).catch((error) =>
        this.#log.warn(
          { error: String(error), program: binding.program },
          'rpcbind still names a program that is gone',
        ),
      )
    }
  }

  #ask(what: 'SET' | 'UNSET', binding: Binding): Promise<boolean> {
    return this.#caller.call({ path: this.#path }, RPCBIND, rpcbind4Procedures[what], binding, { limitMs: LIMIT_MS })
  }
}

/** The first of `paths` at which an rpcbind answers; undefined when none does. */
export async function findRpcbind(caller: RpcCaller, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await caller.call({ path }, RPCBIND, rpcbind4Procedures.NULL, undefined, { limitMs: LIMIT_MS })
      return path
    } catch (error) {
      if (!(error instanceof CallError)) throw error
    }
  }
  return undefined
}

function bindingsOf(services: Services, list: readonly Service[]): Binding[] {
  return list.flatMap((service) =>
    services.netidsOf(service).map((netid) => ({
      ...{ program: service.program, version: service.version, netid },
      address: services.addressOf(service, netid, undefined, ''),
      owner: 'superuser',
    })),
  )
}
