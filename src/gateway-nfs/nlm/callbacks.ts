/** Calls of the lock manager to its clients' lock managers: a lock is granted (GRANTED, GRANTED_MSG); the result of a message (_RES). */
import { randomBytes } from 'node:crypto'
import { type Clock, within } from '../../platform/clock.ts'
import { GRANT_LIMIT_MS } from '../limits.ts'
import type { Host, Hosts } from '../portmap/hosts.ts'
import { CallError } from '../rpc/caller.ts'
import { NLM_PROGRAM, NLM_V4, type NlmLock, nlmProcedures } from './tables.ts'

const NLM = { program: NLM_PROGRAM, version: NLM_V4 }
/** A lock with the longest names. */
const ARGUMENT_BYTES = 8 * 1024
const COOKIE_BYTES = 8

/** What a client is told that it has now: as it asked for it. */
export type Grant = {
  readonly host: Host
  readonly exclusive: boolean
  readonly lock: NlmLock
  /** It was asked for by a message. */
  readonly byMessage: boolean
}

type Result = 'TEST_RES' | 'LOCK_RES' | 'CANCEL_RES' | 'UNLOCK_RES' | 'GRANTED_RES'

export class Callbacks {
  readonly #hosts: Hosts
  readonly #clock: Clock
  /** Grants by message that wait for their result, by cookie. */
  readonly #results = new Map<string, { readonly address: string; readonly resolve: (status: number) => void }>()
  readonly counters = { sent: 0, failed: 0 }

  constructor({ hosts, clock }: { readonly hosts: Hosts; readonly clock: Clock }) {
    this.#hosts = hosts
    this.#clock = clock
  }

  /** Makes ready for a grant that may come at any time. */
  prepare(host: Host): void {
    this.#hosts.prepare(host, NLM)
  }

  /** Resolves with the client's nlm4_stats. Rejects with CallError: 'unreachable' when it cannot have heard of it. */
  async grant({ host, exclusive, lock, byMessage }: Grant): Promise<number> {
    const cookie = randomBytes(COOKIE_BYTES)
    const options = { limitMs: GRANT_LIMIT_MS, argumentBytes: ARGUMENT_BYTES, resend: false }
    const args = { cookie, exclusive, lock }
    this.counters.sent++
    try {
      if (!byMessage) return (await this.#hosts.call(host, NLM, nlmProcedures.GRANTED, args, options)).status
      return await this.#grantByMessage(host, args, options)
    } catch (error) {
      this.counters.failed++
      throw error
    }
  }

  /** GRANTED_RES came. Anybody can send one: it counts only from the address that was told, with the cookie that it was told. */
  granted(address: string, cookie: Buffer, status: number): void {
    const waiting = this.#results.get(cookie.toString('hex'))
    if (waiting?.address === address) waiting.resolve(status)
  }

  /** Sends the result of a message; rejects with CallError. */
  async result<R extends Result>(
    host: Host,
    name: R,
    value: Parameters<(typeof nlmProcedures)[R]['args']['encode']>[1],
  ): Promise<void> {
    const procedure = nlmProcedures[name] as (typeof nlmProcedures)['LOCK_RES']
    await this.#hosts.call(host, NLM, procedure, value as never, {
      limitMs: GRANT_LIMIT_MS,
      argumentBytes: ARGUMENT_BYTES,
    })
  }

  async #grantByMessage(
    host: Host,
    args: { readonly cookie: Buffer; readonly exclusive: boolean; readonly lock: NlmLock },
    options: { readonly limitMs: number },
  ): Promise<number> {
    const key = args.cookie.toString('hex')
    const result = new Promise<number>((resolve) => this.#results.set(key, { address: host.address, resolve }))
    try {
      await this.#hosts.call(host, NLM, nlmProcedures.GRANTED_MSG, args, options)
      const status = await within(this.#clock, result, GRANT_LIMIT_MS)
      if (status === 'late') throw new CallError('late', `${host.address} sent no GRANTED_RES`)
      return status
    } finally {
      this.#results.delete(key)
    }
  }
}
