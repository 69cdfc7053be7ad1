/**
 * The ways to one peer: an address on each network, the preferred one first. Dials those by which a connection would be of use
 * (that is for links.ts to say), again and again with growing pauses; a network that is only preferred to the one in use, every
 * RETURN_MS.
 */
import { isMatrixError, MatrixError } from '../base/errors.ts'
import type { Slot } from '../base/ids.ts'
import type { Prng } from '../base/prng.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Connection, PeerAddress, Transport } from '../platform/transport.ts'
import type { Member } from './view.ts'

/** First pause between attempts to dial, ms; doubles up to the length of a suspicion. */
const FIRST_PAUSE_MS = 50
/** How often a network that is preferred to the one in use is tried, ms. */
export const RETURN_MS = 10_000

/** A node that is known, whether it runs or not. */
export type KnownPeer = Omit<Member, 'incarnation'>

/** In the order of preference. */
export function addressesOf({ address, otherAddresses = [] }: KnownPeer): readonly PeerAddress[] {
  return [address, ...otherAddresses]
}

export type Path = {
  readonly address: PeerAddress
  /** Place in the list of addresses. */
  readonly network: number
  dialing: boolean
  retry: Timer | undefined
  pauseMs: number
  /** Last reason for not being linked this way, logged when it changes. */
  trouble: string
}

export type PathOptions = {
  readonly clock: Clock
  readonly transport: Transport
  readonly timings: Timings
  readonly prng: Prng
  readonly log: Log
}

export interface PathUser {
  /** What a connection by this network would be good for now. */
  use(network: number): 'link' | 'return' | undefined
  /** `path.dialing` until `failed` or `linked`. */
  connected(path: Path, connection: Connection): void
  /** Nobody listens at this address. */
  refused(path: Path): void
}

export class PeerPaths {
  readonly name: string
  readonly #slot: Slot
  readonly #self: Slot
  readonly #options: PathOptions
  readonly #user: PathUser
  #paths: Path[] = []
  #started = false

  constructor(peer: KnownPeer, self: Slot, options: PathOptions, user: PathUser) {
    this.name = peer.name
    this.#slot = peer.slot
    this.#self = self
    this.#options = options
    this.#user = user
    this.lead(addressesOf(peer))
  }

  get first(): Path {
    return this.#paths[0] as Path
  }

  leadsTo({ host, port }: PeerAddress): boolean {
    return this.#paths.some(({ address }) => address.host === host && address.port === port)
  }

  /** Is there another network than this one? */
  hasOther(network: number): boolean {
    return this.#paths.some((path) => path.network !== network)
  }

  /** These are the peer's addresses from now on. */
  lead(addresses: readonly PeerAddress[]): void {
    const old = this.#paths
    if (addresses.length === old.length && addresses.every((address, i) => sameAddress(address, old[i]?.address)))
      return
    for (const path of old) path.retry?.cancel()
    this.#paths = addresses.map((address, network) => ({
      address,
      network,
      dialing: false,
      retry: undefined,
      pauseMs: FIRST_PAUSE_MS,
      trouble: '',
    }))
    if (this.#started) this.start()
  }

  /** The lower slot dials at once, by the preferred network; others only when that does not help, so that most pairs need one connection. */
  start(): void {
    this.#started = true
    const { clock, timings } = this.#options
    for (const path of this.#paths) {
      const turns = (this.#self < this.#slot ? 0 : 1) + path.network
      if (turns === 0) this.#dial(path)
      else path.retry = clock.after((turns * timings.heartbeatMs) / 2, () => this.#dial(path))
    }
  }

  stop(): void {
    for (const path of this.#paths) path.retry?.cancel()
    this.#paths = []
  }

  /** Tries all that are of use, now. */
  seek(): void {
    for (const path of this.#paths) {
      path.pauseMs = FIRST_PAUSE_MS
      this.#dial(path)
    }
  }

  /** The peer has a new connection: better networks than its one are tried from time to time. */
  linked(): void {
    for (const path of this.#paths) {
      path.pauseMs = FIRST_PAUSE_MS
      path.trouble = ''
      path.retry?.cancel()
      path.retry = this.#user.use(path.network) && this.#options.clock.after(RETURN_MS, () => this.#dial(path))
    }
  }

  /** A connection by this path has come to nothing. */
  failed(path: Path, reason: string): void {
    path.dialing = false
    this.trouble(path, reason)
    this.#redial(path)
  }

  trouble(path: Path, reason: string): void {
    if (path.trouble === reason || !this.#use(path)) return
    path.trouble = reason
    this.#options.log.info({ peer: this.name, network: path.network, reason }, 'no connection to peer')
  }

  #use(path: Path): 'link' | 'return' | undefined {
    return this.#paths.includes(path) ? this.#user.use(path.network) : undefined
  }

  #dial(path: Path): void {
    if (path.dialing || !this.#use(path)) return
    path.dialing = true
    path.retry?.cancel()
    this.#options.transport.connect(path.address).then(
      (connection) => {
        // another connection may have been faster: a hello now would replace one that works
        if (this.#use(path)) return this.#user.connected(path, connection)
        path.dialing = false
        connection.close()
      },
      (error: unknown) => {
        if (!(error instanceof MatrixError)) throw error
        path.dialing = false
        if (!this.#use(path)) return
        this.trouble(path, error.message)
        if (isMatrixError(error, 'peer-gone')) this.#user.refused(path)
        this.#redial(path)
      },
    )
  }

  #redial(path: Path): void {
    const use = this.#use(path)
    if (path.dialing || !use) return
    const { clock, prng, timings } = this.#options
    const pauseMs = use === 'return' ? RETURN_MS : path.pauseMs * (0.5 + prng.float() / 2)
    path.pauseMs = Math.min(2 * path.pauseMs, timings.suspectMs)
    path.retry?.cancel()
    path.retry = clock.after(pauseMs, () => this.#dial(path))
  }
}

function sameAddress(a: PeerAddress, b: PeerAddress | undefined): boolean {
  return a.host === b?.host && a.port === b.port
}
