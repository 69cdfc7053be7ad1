/**
 * Through which addresses clients come. A machine has its own, and those of virtual hosts, which come and go while it serves: an address is opened, drained (what is under way ends, and nothing
 * is taken any more) and closed (what still is connected to it is reset).
 */
import { createServer, type Server as Listener, type Socket } from 'node:net'
import { MatrixError } from '../base/errors.ts'
import { hears, LocalAddresses, plainAddress } from '../export/index.ts'

export class Doors {
  readonly #addresses = new LocalAddresses()
  /** A connection has come to one of the further addresses. */
  readonly #connected: (socket: Socket) => void
  /** Open ones; of TLS, those beneath. */
  readonly #sockets = new Set<Socket>()
  /** The address that a connection came to, plain. */
  readonly #addressOf = new WeakMap<Socket, string>()
  /** Requests under way, by the address that they came to. */
  readonly #busy = new Map<string, number>()
  /** Further listeners, by their address. */
  readonly #further = new Map<string, Listener>()
  /** Whoever waits until nothing is under way at an address. */
  #idle: (() => void)[] = []

  constructor(connected: (socket: Socket) => void) {
    this.#connected = connected
  }

  /** Every connection begins with this. */
  admit(socket: Socket): void {
    if (this.#addresses.stateOf(socket.localAddress) === 'closed') {
      socket.resetAndDestroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  stateAt(socket: Socket): 'served' | 'draining' | 'closed' {
    return this.#addresses.stateOf(this.#addressAt(socket))
  }

  /** A request is under way until `ended` is called. */
  begin(socket: Socket): { ended(): void } {
    const address = this.#addressAt(socket)
    this.#count(address, 1)
    return { ended: () => this.#count(address, -1) }
  }

  /** Hears an address of this machine that has just come, too, beside `own`. Rejects with MatrixError 'in-use' or 'config'. */
  async open(address: string, own: { readonly host: string; readonly port: number }): Promise<void> {
    this.#addresses.open(address)
    if (hears(own.host, address) || this.#further.has(address)) return
    const listener = createServer({ noDelay: true }, this.#connected)
    await new Promise<void>((resolve, reject) => {
      listener.once('error', (cause: NodeJS.ErrnoException) => {
        const code = cause.code === 'EADDRINUSE' ? 'in-use' : 'config'
        reject(new MatrixError(code, `HTTP cannot listen on ${address}:${own.port}: ${cause.message}`, { cause }))
      })
      listener.listen(own.port, address, resolve)
    })
    this.#further.set(address, listener)
  }

  /** Resolves once nothing is under way at an address; a connection ends with the answer to what comes from now on. */
  async drain(address: string): Promise<void> {
    this.#addresses.drain(address)
    while (this.#busy.has(address)) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** Nothing is served at an address any more: its connections are reset. */
  close(address: string): void {
    this.#addresses.close(address)
    this.#further.get(address)?.close()
    this.#further.delete(address)
    for (const socket of this.#sockets)
      if (plainAddress(socket.localAddress ?? '') === address) socket.resetAndDestroy()
  }

  /** No more connections come to further addresses. */
  closeFurther(): void {
    for (const listener of this.#further.values()) listener.close()
    this.#further.clear()
  }

  #addressAt(socket: Socket): string {
    let address = this.#addressOf.get(socket)
    if (address === undefined) this.#addressOf.set(socket, (address = plainAddress(socket.localAddress ?? '')))
    return address
  }

  /** One request more or less is under way there. */
  #count(address: string, change: 1 | -1): void {
    const requests = (this.#busy.get(address) ?? 0) + change
    if (requests > 0) this.#busy.set(address, requests)
    else this.#busy.delete(address)
    if (this.#idle.length > 0) for (const resolve of this.#idle.splice(0)) resolve()
  }
}
