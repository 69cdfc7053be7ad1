/**
 * How people stop a program: Ctrl-C, SIGTERM, or by closing the terminal. The first one asks for a clean stop, a later one for
 * an end at once. One Ctrl-C may arrive twice, from the terminal and passed on by npm, so what follows within a second is
 * still the first.
 */
const SAME_MS = 1000
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export type StopRequests = {
  /** The first request. */
  readonly stop: (signal: NodeJS.Signals) => void
  /** Every later one. */
  readonly hurry: (signal: NodeJS.Signals) => void
  /** What SIGHUP means to a program that has no terminal: it stops nothing then. */
  readonly reload?: () => void
}

/** Returns how to leave the signals alone again. */
export function onStopSignal({ stop, hurry, reload }: StopRequests): () => void {
  let firstAt: number | undefined
  const listener = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && reload) reload()
    else if (firstAt === undefined) {
      firstAt = performance.now()
      stop(signal)
    } else if (performance.now() - firstAt > SAME_MS) {
      hurry(signal)
    }
  }
  for (const signal of signals) process.on(signal, listener)
  return () => {
    for (const signal of signals) process.off(signal, listener)
  }
}
