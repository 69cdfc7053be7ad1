/** A way over TCP that can be cut, and hung: a proxy on a loopback port. */
import { connect, createServer, type Server, type Socket } from 'node:net'

export class Cable {
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #isCut = false
  #hangs = false
  port = 0

  async plug(to: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      if (this.#isCut) {
        socket.resetAndDestroy()
        return
      }
      if (this.#hangs) {
        this.#sockets.add(socket)
        socket.pause()
        socket.on('error', () => {})
        socket.on('close', () => this.#sockets.delete(socket))
        return
      }
      const peer = connect({ host: '127.0.0.1', port: to, allowHalfOpen: true })
      for (const [one, other] of [
        [socket, peer],
        [peer, socket],
      ] as const) {
        this.#sockets.add(one)
        one.on('error', () => {})
        one.on('end', () => other.destroy())
        one.on('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
        one.pipe(other, { end: false })
      }
    })
    this.#server = server
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    this.port = (server.address() as { port: number }).port
  }

  cut(): void {
    this.#isCut = true
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** For new connections. */
  mend(): void {
    this.#isCut = false
    this.#hangs = false
  }

  /** Everything stays open, and nothing arrives any more; for good also by new connections, until it is mended. */
  hang(how: 'once' | 'for good' = 'once'): void {
    this.#hangs = how === 'for good'
    for (const socket of this.#sockets) {
      socket.unpipe()
      socket.pause()
    }
  }

  close(): void {
    this.cut()
    this.#server?.close()
  }
}
