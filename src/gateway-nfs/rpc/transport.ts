/** By what a call came, and how addresses are written where they are compared. */

export type Transport = 'tcp' | 'udp'

/** An address as sockets give it, without the mapped form of IPv4 (`::ffff:10.1.2.3`) and without its zone. */
export function plainAddress(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  return mapped ? (mapped[1] as string) : (address.split('%', 1)[0] as string)
}

/** Of this machine itself. `address` is plain. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}
