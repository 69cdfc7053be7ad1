/** Writing a response body at the client's pace. */
import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'

/** The client is gone: nothing is left to answer, and nothing to log but the fact. */
export class Disconnected extends Error {
  override readonly name = 'Disconnected'
  constructor() {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super('the client closed the connection')
    Error.stackTraceLimit = limit
  }
}

/**
 * Hands `chunk` to the connection; the promise is there only when the client must first take what it has. `done` runs once
 * the chunk's memory is free again.
 */
export function send(res: ServerResponse, chunk: Buffer | string, done?: () => void): Promise<void> | undefined {
  if (res.destroyed || res.closed) throw new Disconnected()
  const room = res.write(chunk, (error) => {
    if (!error) done?.()
  })
  return room ? undefined : drained(res)
}

/** Where an answer's body goes, bit by bit. */
export interface Outlet {
  /** As `send`. */
  write(chunk: Buffer | string, done?: () => void): Promise<void> | undefined
  end(chunk?: string): void
}

export class PlainOutlet implements Outlet {
  readonly #res: ServerResponse

  constructor(res: ServerResponse) {
    this.#res = res
  }

  write(chunk: Buffer | string, done?: () => void): Promise<void> | undefined {
    return send(this.#res, chunk, done)
  }

  end(chunk?: string): void {
    this.#res.end(chunk)
  }
}

/** Resolves once the stream has taken what was written; rejects with Disconnected when it never will. */
export function drained(stream: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      stream.off('drain', settle)
      stream.off('close', settle)
      if (stream.destroyed || stream.closed) reject(new Disconnected())
      else resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
  })
}
