/**
 * Hosts that this node calls back: a client whose lock is granted, or that has to be told of our restart. Where its programs listen its own
 * port mapper says; that is remembered for a while, and asked anew once a call has failed.
 */
import { isIPv6 } from 'node:net'
import type { Clock } from '../../platform/clock.ts'
import { CallError, type CallOptions, type Endpoint, type OutgoingProgram, type RpcCaller } from '../rpc/caller.ts'
import type { Transport } from '../rpc/transport.ts'
import type { Procedure } from '../xdr/procedure.ts'
import {
  IPPROTO_TCP,
  IPPROTO_UDP,
  PORTMAP_PORT,
  PORTMAP_PROGRAM,
  PORTMAP_V2,
  portmapProcedures,
  RPCBIND_V4,
  rpcbind4Procedures,
} from './tables.ts'
import { netidOf, parseUniversalAddress } from './universal-address.ts'

/** A host, and how it has spoken to us: it is called in the same way, from the address that it knows. */
export type Host = {
  /** Plain. */
  readonly address: string
  readonly transport: Transport
  readonly localAddress: string | undefined
}

export type HostsOptions = {
  readonly caller: RpcCaller
  readonly clock: Clock
  /** Where hosts have their port mappers; default 111. */
  readonly portmapPort?: number
}

/** A port mapper answers at once or not at all. */
const PORTMAP_LIMIT_MS = 3_000
/** Ports change when a client restarts; then a call fails, or it tells us. */
const PORT_LIFE_MS = 300_000
const PORTS_MAX = 4096

type KnownPort = { readonly port: Promise<number>; readonly until: number }

export class Hosts {
  readonly #options: HostsOptions
  readonly #ports = new Map<string, KnownPort>()

  constructor(options: HostsOptions) {
    this.#options = options
  }

  /** Calls a procedure of a program of the host; rejects with CallError. */
  async call<A, R>(
    host: Host,
    program: OutgoingProgram,
    procedure: Procedure<A, R>,
    args: A,
    options: CallOptions,
  ): Promise<R> {
    const port = await this.#portOf(host, program)
    try {
      return await this.#options.caller.call(endpointOf(host, port), program, procedure, args, options)
    } catch (error) {
      this.#ports.delete(keyOf(host, program))
      throw error
    }
  }

  /** Makes ready for a call that will come soon. */
  prepare(host: Host, program: OutgoingProgram): void {
    this.#portOf(host, program).then(
      (port) => this.#options.caller.prepare(endpointOf(host, port)),
      () => {}, // the call will see
    )
  }

  /** The host has restarted: its programs may be elsewhere. */
  forget(address: string): void {
    for (const key of this.#ports.keys()) if (key.startsWith(`${address} `)) this.#ports.delete(key)
  }

  #portOf(host: Host, program: OutgoingProgram): Promise<number> {
    const key = keyOf(host, program)
    const now = this.#options.clock.now()
    const known = this.#ports.get(key)
    if (known && known.until > now) return known.port
    const port = this.#ask(host, program).catch((error) => {
      throw error instanceof CallError ? new CallError('unreachable', error.message) : error
    })
    if (this.#ports.size >= PORTS_MAX) this.#ports.clear()
    this.#ports.set(key, { port, until: now + PORT_LIFE_MS })
    port.catch(() => this.#ports.delete(key))
    return port
  }

  /** GETPORT, or GETADDR of a host that has IPv6 only. */
  async #ask(host: Host, { program, version }: OutgoingProgram): Promise<number> {
    const { caller, portmapPort = PORTMAP_PORT } = this.#options
    const at = endpointOf(host, portmapPort)
    const options = { limitMs: PORTMAP_LIMIT_MS }
    const { address, transport } = host
    let port: number | undefined
    if (isIPv6(address)) {
      const asked = { program, version, netid: netidOf(transport, address), address: '', owner: '' }
      const rpcbind = { program: PORTMAP_PROGRAM, version: RPCBIND_V4 }
      port = parseUniversalAddress(await caller.call(at, rpcbind, rpcbind4Procedures.GETADDR, asked, options))?.port
    } else {
      const asked = { program, version, protocol: transport === 'tcp' ? IPPROTO_TCP : IPPROTO_UDP, port: 0 }
      const portmap = { program: PORTMAP_PROGRAM, version: PORTMAP_V2 }
      port = await caller.call(at, portmap, portmapProcedures.GETPORT, asked, options)
    }
    if (port && port <= 65_535) return port
    throw new CallError('unreachable', `${address} has no program ${program} version ${version} by ${transport}`)
  }
}

function endpointOf({ address, transport, localAddress }: Host, port: number): Endpoint {
  return { address, transport, port, from: localAddress }
}

function keyOf({ address, transport, localAddress }: Host, { program, version }: OutgoingProgram): string {
  return `${address} ${transport} ${localAddress ?? ''} ${program} ${version}`
}
