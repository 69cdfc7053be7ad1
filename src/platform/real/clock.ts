/** The system's clocks and timers. Timers keep the process alive: a node stops by cancelling them, not by forgetting them. */
import type { Clock } from '../clock.ts'

/** performance.now() costs half of hrtime, but counts from the start of its thread; deadlines go from thread to thread. */
const threadStart = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export const realClock: Clock = {
  now: () => threadStart + performance.now(),
  wall: () => Date.now(),
  after(delayMs, run) {
    const due = performance.now() + delayMs
    let timer: NodeJS.Timeout
    const fire = (): void => {
      // setTimeout counts whole milliseconds of its loop, and may be early by a part of one: enough for a lease not to be over
      const leftMs = due - performance.now()
      if (leftMs > 0) timer = setTimeout(fire, Math.ceil(leftMs))
      else run()
    }
    timer = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  every(periodMs, run) {
    const timer = setInterval(run, periodMs)
    return { cancel: () => clearInterval(timer) }
  },
  soon: (run) => void setImmediate(run),
}
