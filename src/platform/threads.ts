/** Threads, handed in: who must go on while the main thread is busy (the lease) gets one of its own. */

/** A thread under way. Messages are plain values, copied; a SharedArrayBuffer within them is shared. */
export interface Thread {
  post(message: unknown): void
  /** Set right after the thread is started. */
  onMessage: (message: unknown) => void
  /** Called exactly once when the thread is over, whatever the reason; nothing arrives afterwards. */
  onExit: (reason: string) => void
  /** Ends it at once; `onExit` follows. */
  stop(): void
}

/** The module `name` (a `.ts` file) beside the one at `url`, as the entry of a thread. The build turns `.ts` into `.js`, here as in every import. */
export function moduleBeside(url: string, name: string): URL {
  const entry = new URL(name, url)
  if (url.endsWith('.js')) entry.pathname = entry.pathname.replace(/\.ts$/, '.js')
  return entry
}

export interface Threads {
  /** Runs the module at `entry` in a thread of its own; `data` is what it finds at its start. */
  start(entry: URL, data: unknown): Thread
}
