/** What a port mapper tells of: programs, and where each is reached. */
import { isIPv6 } from 'node:net'
import type { Transport } from '../rpc/transport.ts'
import { type Netid, netidOf, parseUniversalAddress, universalAddress } from './universal-address.ts'

/** A program in one version, by one transport. */
export type Service = {
  readonly program: number
  readonly version: number
  readonly transport: Transport
  readonly port: number
}

export class Services {
  readonly #list: readonly Service[]
  /** The address that all of it is bound to; `0.0.0.0` or `::` when it is every one. */
  readonly #bound: string

  constructor(bound: string, list: readonly Service[]) {
    this.#bound = bound
    this.#list = list
  }

  get list(): readonly Service[] {
    return this.#list
  }

  /** Those of version 2 of the port mapper, which knows IPv4 only. */
  get overIpv4(): readonly Service[] {
    return isIPv6(this.#bound) && this.#bound !== '::' ? [] : this.#list
  }

  /**
   * The service of this version, else one of another: its caller is then told which versions there are (RFC 1833 3.2.1). `exact`:
   * never one of another.
   */
  find(program: number, version: number, transport: Transport, exact = false): Service | undefined {
    const candidates = this.#list.filter((each) => each.program === program && each.transport === transport)
    return candidates.find((each) => each.version === version) ?? (exact ? undefined : candidates[0])
  }

  /** By which netids a service is reached. */
  netidsOf({ transport }: Service): readonly Netid[] {
    if (this.#bound === '::') return [transport, `${transport}6`]
    return [netidOf(transport, this.#bound)]
  }

  /**
   * The universal address of a service for who has asked at `localAddress`; where that is not known, at what it says itself (`hint`, a universal
   * address), as it did reach us there.
   */
  addressOf({ port }: Service, netid: string, localAddress: string | undefined, hint: string): string {
    const wildcard = netid.endsWith('6') ? '::' : '0.0.0.0'
    const isWildcard = this.#bound === '0.0.0.0' || this.#bound === '::'
    const asked = localAddress ?? parseUniversalAddress(hint)?.address ?? wildcard
    const fits = isIPv6(asked) === netid.endsWith('6')
    return universalAddress(isWildcard ? (fits ? asked : wildcard) : this.#bound, port)
  }
}
