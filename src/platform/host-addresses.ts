/**
 * Addresses that this machine's system answers for, beside its own: handed in, so that the simulator has its own. What is added here outlives
 * the process, but not its life time: a system that can do so takes an address away by itself when nobody has renewed it.
 */

export type HostAddress = {
  /** IPv4 or IPv6, as text in its shortest form. */
  readonly address: string
  /** Bits of its network. */
  readonly prefix: number
  /** The network interface that bears it. */
  readonly interface: string
}

/**
 * All verbs reject with MatrixError: 'not-found' when a program or the interface is missing, 'timeout', or 'config' with what the system said; those
 * that look first (`remove`, `has`) with 'in-use' when the machine has the address for ever: somebody else has given it that.
 */
export interface HostAddresses {
  /** An address whose life is over may still be there for so long, ms. */
  readonly lateMs: number
  /** Is there when it resolves, for `lifeMs` from the call or less, whether it was there before or not. Where the system knows no life times it stays until it is removed. */
  add(address: HostAddress, lifeMs: number): Promise<void>
  /** Is gone when it resolves, and so it may have been before. */
  remove(address: HostAddress): Promise<void>
  /**
   * From now on nothing that is sent to the address arrives, and nothing answers for it, while what is sent from it still leaves: connections can
   * be ended before the address goes, and nobody is refused meanwhile. Ends with `remove`. Does nothing where the system cannot.
   */
  deafen(address: HostAddress): Promise<void>
  /** Tells the network that the address is here now. Once it has settled, or soon after `abort`, nothing more is told. */
  announce(address: HostAddress, abort: AbortSignal): Promise<void>
  /** Whether it is there. */
  has(address: HostAddress): Promise<boolean>
}
