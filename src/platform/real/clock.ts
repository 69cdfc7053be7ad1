/** The system's clocks and timers. Timers keep the process alive: a node stops by cancelling them, not by forgetting them. */
import type { Clock } from '../clock.ts'

/** performance.now() costs half of hrtime, but counts from the start of its thread; deadlines go from thread to thread. */
const threadStart = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export const realClock: Clock = {
  now: () => threadStart + performance.now(),
  wall: () => Date.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  every(periodMs, run) {
    const timer = setInterval(run, periodMs)
    return { cancel: () => clearInterval(timer) }
  },
  soon: (run) => void setImmediate(run),
}
