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

export interface Threads {
  /** Runs the module at `entry` in a thread of its own; `data` is what it finds at its start. */
  start(entry: URL, data: unknown): Thread
}
