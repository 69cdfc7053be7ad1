/**
 * Requests of one connection, one after another. Node's HTTP server hands a request on as soon as it has come, also while those before it are under way; what changes something must
 * not be overtaken (RFC 9112 9.3.2).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export class Turns {
  readonly #last = new WeakMap<Socket, ServerResponse>()

  /** `serve` runs once everything before it on this connection has been answered: mostly now. */
  take({ socket }: IncomingMessage, res: ServerResponse, serve: () => void): void {
    const before = this.#last.get(socket)
    this.#last.set(socket, res)
    if (!before || before.writableFinished) serve()
    else
      before.once('close', () => {
        if (!socket.destroyed) serve()
      })
  }
}
