/**
 * The network of one node with a cable in it that can be pulled: for drills and the demo (`matrix demo cut NODE net`), where nobody can reach the real one.
 * As with a real cable nothing tells either side: what is sent waits, as it does in TCP, and arrives when the cable is back, unless somebody
 * has given the connection up by then; new connections get no answer.
 */
import { MatrixError } from '../base/errors.ts'
import type { Clock } from './clock.ts'
import type { Connection, Listener, PeerAddress, Transport } from './transport.ts'
import { formatAddress } from './transport.ts'

/** A connection that is asked for meanwhile is given up after so long, ms: as systems do that hear nothing. */
const CONNECT_MS = 10_000

export class CuttableTransport implements Transport {
  readonly #inner: Transport
  readonly #clock: Clock
  readonly #cables = new Set<CuttableConnection>()
  readonly #healed = new Set<() => void>()
  #isCut = false

  constructor(inner: Transport, clock: Clock) {
    this.#inner = inner
    this.#clock = clock
  }

  get isCut(): boolean {
    return this.#isCut
  }

  cut(): void {
    this.#isCut = true
  }

  heal(): void {
    this.#isCut = false
    for (const wake of [...this.#healed]) wake()
    for (const each of [...this.#cables]) each.healed()
  }

  listen(address: PeerAddress, accept: (connection: Connection) => void): Promise<Listener> {
    return this.#inner.listen(address, (connection) => {
      // a connection that came about behind the cut is none
      if (this.#isCut) connection.close()
      else accept(this.#wrap(connection))
    })
  }

  async connect(address: PeerAddress): Promise<Connection> {
    const deadline = this.#clock.now() + CONNECT_MS
    while (this.#isCut) {
      const leftMs = deadline - this.#clock.now()
      if (!(leftMs > 0)) throw new MatrixError('timeout', `${formatAddress(address)}: no answer: the cable is pulled`)
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          timer.cancel()
          this.#healed.delete(wake)
          resolve()
        }
        const timer = this.#clock.after(leftMs, wake)
        this.#healed.add(wake)
      })
    }
    return this.#wrap(await this.#inner.connect(address))
  }

  #wrap(inner: Connection): Connection {
    const cable = new CuttableConnection(
      inner,
      () => this.#isCut,
      () => this.#cables.delete(cable),
    )
    this.#cables.add(cable)
    return cable
  }
}

class CuttableConnection implements Connection {
  onFrame: (frame: Buffer) => void = () => {}
  onClose: (reason: string) => void = () => {}
  readonly #inner: Connection
  readonly #isCut: () => boolean
  readonly #gone: () => void
  readonly #outgoing: Uint8Array[] = []
  readonly #incoming: Buffer[] = []
  /** Each end's closing, as far as it has come. */
  #closedHere = false
  #closedThere: string | undefined

  constructor(inner: Connection, isCut: () => boolean, gone: () => void) {
    this.#inner = inner
    this.#isCut = isCut
    this.#gone = gone
    inner.onFrame = (frame) => {
      if (this.#closedHere) return
      if (this.#isCut()) this.#incoming.push(Buffer.from(frame))
      else this.onFrame(frame)
    }
    inner.onClose = (reason) => {
      this.#closedThere = reason
      if (!this.#isCut()) this.#end()
    }
  }

  send(frame: Uint8Array): void {
    if (this.#closedHere) return
    if (this.#isCut()) this.#outgoing.push(Buffer.from(frame))
    else this.#inner.send(frame)
  }

  close(): void {
    if (this.#closedHere) return
    if (!this.#isCut()) {
      this.#inner.close()
      return
    }
    // the other side hears of it when the cable is back
    this.#closedHere = true
    this.onClose('closed here')
  }

  healed(): void {
    if (this.#closedHere) {
      this.#inner.close()
      this.#gone()
      return
    }
    for (const frame of this.#incoming.splice(0)) if (!this.#closedHere) this.onFrame(frame)
    for (const frame of this.#outgoing.splice(0)) this.#inner.send(frame)
    if (this.#closedThere !== undefined) this.#end()
  }

  #end(): void {
    this.#gone()
    if (this.#closedHere) return
    this.#closedHere = true
    this.onClose(this.#closedThere as string)
  }
}
