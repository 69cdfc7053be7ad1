/** By what a call came, and how addresses are written where they are compared. */

export type Transport = 'tcp' | 'udp'

/** Of this machine itself. `address` is plain. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.')
}
