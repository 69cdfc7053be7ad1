/** Writing a response body at the client's pace. */
import type { ServerResponse } from 'node:http'

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

function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = () => {
      res.off('drain', settle)
      res.off('close', settle)
      if (res.destroyed || res.closed) reject(new Disconnected())
      else resolve()
    }
    res.on('drain', settle)
    res.on('close', settle)
  })
}
