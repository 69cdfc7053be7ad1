/**
 * The express lane: where every connection begins, before Node's HTTP server. While a client asks for nothing but plain requests (plain-request.ts) that can be answered quickly – a GET of a small
 * file that is at hand, a PUT of one – each is answered by one read and one write of the socket; the HTTP server and Koa, which cost more than all the rest of it, never see them.
 *
 * It is a short cut and nothing else. At the first byte that is not understood, and at the first request that would not be answered with success, the HTTP server gets the connection
 * with all that is not answered yet, as if it had just come, and keeps it (connection.ts). So nothing is ever refused here, and whoever wants to know what a request means reads the methods.
 */
import type { Socket } from 'node:net'
import type { MaybePromise } from '../../base/maybe-promise.ts'
import type { Clock } from '../../platform/clock.ts'
import { type Answer, AnswerWriter } from './answer.ts'
import { ExpressConnection } from './connection.ts'
import type { PlainRequest } from './plain-request.ts'

export type ExpressLaneOptions = {
  readonly clock: Clock
  /** undefined, now or later: the HTTP server has to see it. */
  readonly answer: (request: PlainRequest, socket: Socket) => MaybePromise<Answer | undefined>
  /** A client does not take its answer at once; `done` when it has, or never will. */
  readonly slow: (socket: Socket, done: Promise<void>) => void
  /** The connection is the HTTP server's. What has come of it is read from it again. */
  readonly handOver: (socket: Socket) => void
}

export class ExpressLane {
  readonly #options: ExpressLaneOptions
  readonly #writer: AnswerWriter
  readonly #connections = new Set<ExpressConnection>()

  constructor(options: ExpressLaneOptions) {
    this.#options = options
    this.#writer = new AnswerWriter(options.clock)
  }

  take(socket: Socket): void {
    const connection = new ExpressConnection(socket, {
      answer: (request) => this.#options.answer(request, socket),
      send: (answer) => this.#writer.send(answer, socket),
      slow: (done) => this.#options.slow(socket, done),
      left: (isHandedOver) => {
        this.#connections.delete(connection)
        if (isHandedOver) this.#options.handOver(socket)
      },
    })
    this.#connections.add(connection)
  }

  /** Connections end once their clients have got the answers to what they have asked. */
  end(): void {
    for (const connection of this.#connections) connection.end()
  }

  cut(): void {
    for (const connection of this.#connections) connection.cut()
  }
}
