/**
 * A new connection, from its first frame until it is somebody's link or closed.
 *
 *     who dialled                              who listens
 *     hello               ─────────────────▶   fits? else refuse
 *     fits? else refuse   ◀─────────────────   hello
 *              use, from the lower slot to the higher: the connection is in use
 *
 * A hello says who its sender is, what must be equal at both ends, and which session it has with the other. The end that
 * listens answers only to a hello, because it cannot know before whom it talks to. A refusal carries the reason, which both
 * ends log. All of it comes within its time, or the connection is closed. What a hello or a `use` leads to is for links.ts.
 */
import { MatrixError } from '../base/errors.ts'
import type { Timings } from '../base/timings.ts'
import type { Clock, Timer } from '../platform/clock.ts'
import type { Connection } from '../platform/transport.ts'
import { encodeControl, frameKinds } from './frames.ts'
import { type Hello, helloSchema, refuseSchema, type Use, useSchema } from './hello.ts'
import { decodeBody, encodeBody, parseBody } from './membership-messages.ts'

/** What decides about a greeting. */
export interface GreetingHost {
  /** What this node says of itself. */
  hello(greeting: Greeting): Hello
  /** Why `hello` cannot be accepted; undefined when it can. */
  objection(greeting: Greeting, hello: Hello): string | undefined
  /** It fits, and the other end knows ours, or will: `use`, `abandon`, or wait for the other's use. */
  greeted(greeting: Greeting, hello: Hello): void
  /** `take` or `abandon` it. */
  used(greeting: Greeting, hello: Hello, use: Use): void
  /** The connection is no link, and closed, or closes soon. `refusedBy`: which end has said so in words. */
  ended(greeting: Greeting, reason: string, refusedBy: 'us' | 'peer' | undefined): void
}

export class Greeting {
  readonly connection: Connection
  /** Index of the address that was dialled, in the list of the end that listens. */
  readonly network: number
  readonly #host: GreetingHost
  readonly #clock: Clock
  readonly #timings: Timings
  readonly #deadline: Timer
  readonly #hasDialled: boolean
  #theirs: Hello | undefined
  #over = false

  constructor(
    connection: Connection,
    network: number,
    options: {
      readonly host: GreetingHost
      readonly clock: Clock
      readonly timings: Timings
      readonly hasDialled: boolean
    },
  ) {
    this.connection = connection
    this.network = network
    this.#host = options.host
    this.#clock = options.clock
    this.#timings = options.timings
    this.#hasDialled = options.hasDialled
    this.#deadline = this.#clock.after(this.#timings.viewStepMs, () => this.abandon('no hello within its time'))
    connection.onClose = (reason) => this.abandon(reason)
    connection.onFrame = (frame) => this.#frame(frame)
  }

  /** The other end's hello, once it has come and fits. */
  get theirs(): Hello | undefined {
    return this.#theirs
  }

  /** The end that dialled begins, once the host knows of the greeting. */
  begin(): void {
    if (this.#hasDialled) this.#say(frameKinds.hello, this.#host.hello(this))
  }

  /** Tells the other end that the connection is in use, and hands it over. */
  use(use: Use): void {
    this.#say(frameKinds.use, use)
    this.take()
  }

  /** The connection is a link's from now on; whoever takes it sets its callbacks. */
  take(): void {
    this.#over = true
    this.#deadline.cancel()
  }

  abandon(reason: string): void {
    this.#end(reason, undefined)
  }

  #end(reason: string, refusedBy: 'us' | 'peer' | undefined): void {
    if (this.#over) return
    this.take()
    this.connection.onFrame = () => {}
    this.connection.onClose = () => {}
    // a refusal has to leave before the connection ends
    if (refusedBy === 'us') this.#clock.after(this.#timings.heartbeatMs, () => this.connection.close())
    else this.connection.close()
    this.#host.ended(this, reason, refusedBy)
  }

  #frame(frame: Buffer): void {
    if (this.#over) return
    try {
      const body = decodeBody(frame.subarray(1))
      switch (frame[0]) {
        case frameKinds.hello:
          this.#takeHello(parseBody(helloSchema, body, 'frame'))
          return
        case frameKinds.use: {
          const use = parseBody(useSchema, body, 'frame')
          if (!this.#theirs) throw new MatrixError('protocol', 'use without hello')
          this.#host.used(this, this.#theirs, use)
          return
        }
        case frameKinds.refuse:
          this.#end(parseBody(refuseSchema, body, 'frame').reason, 'peer')
          return
        default:
          throw new MatrixError('protocol', `frame of kind ${frame[0]} before the hello`)
      }
    } catch (error) {
      if (!(error instanceof MatrixError)) throw error
      this.abandon(error.message)
    }
  }

  #takeHello(hello: Hello): void {
    if (this.#theirs) throw new MatrixError('protocol', 'a second hello')
    const objection = this.#host.objection(this, hello)
    if (objection !== undefined) {
      this.#say(frameKinds.refuse, { reason: objection })
      this.#end(objection, 'us')
      return
    }
    this.#theirs = hello
    if (!this.#hasDialled) this.#say(frameKinds.hello, this.#host.hello(this))
    this.#host.greeted(this, hello)
  }

  #say(kind: 1 | 2 | 3, body: unknown): void {
    this.connection.send(encodeControl(kind, encodeBody(body)))
  }
}
