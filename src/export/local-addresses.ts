/**
 * The local ends of a gateway's connections, for addresses that come to this machine and leave it (virtual hosts). Each is in one of three
 * states: served, draining (what was taken is answered, nothing new is taken), closed (whoever still comes is told at once to look elsewhere).
 */
/** As people write it: without the prefix of a mapped IPv4 address, and without a zone. */
export function plainAddress(text: string): string {
  const [bare] = text.split('%', 1) as [string]
  const [, four] = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare) ?? []
  return four ?? bare
}

/** Of this machine itself. `address` is plain. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}

/** Whether a listener on `host` hears what is sent to `address`, too. */
export function hears(host: string, address: string): boolean {
  if (host === '::') return true // IPv4 as well: sockets are dual-stack
  return host === address || (host === '0.0.0.0' && !address.includes(':'))
}

export class LocalAddresses {
  readonly #states = new Map<string, 'draining' | 'closed'>()

  stateOf(address: string | undefined): 'served' | 'draining' | 'closed' {
    return (address !== undefined && this.#states.get(plainAddress(address))) || 'served'
  }

  open(address: string): void {
    this.#states.delete(address)
  }

  drain(address: string): void {
    this.#states.set(address, 'draining')
  }

  close(address: string): void {
    this.#states.set(address, 'closed')
  }
}
