/**
 * Commands that outlive the process that sent them.
 *
 * A process does not end before its system calls do: with LUNs that are reached by them, its I/O is over once it is gone. One that speaks
 * iSCSI by itself only puts bytes into a connection: when it dies, its system goes on to deliver what it has taken, and the target to execute what it
 * has received. A write may land when nobody is left who waits for it. So whoever is about to act because a process is gone (the agent that has
 * killed it, the next life of its node, a tool that works on the LUNs) comes here first, and whatever it has read before, it reads again.
 *
 * The life of an I/O is waited for. The target could be asked to end the commands, but of an array about which nothing is known that makes nobody sure:
 *
 *   session reinstatement   whoever logs in with the name and ISID of the dead ends its session. It needs both, with the secret, and a name that
 *                           is not quite the one which the array knew ends nothing and does not say so.
 *   LOGICAL UNIT RESET      ends the commands that the target has received, those of the living as well, and not those in the
 *                           buffers of a connection that it goes on to read.
 *
 * Where the path was cut in the moment of the death, the wait does not help either: docs/iscsi.md.
 */
import { brokenRules } from '../base/broken-rules.ts'
import type { Timings } from '../base/timings.ts'
import { type Clock, sleep } from '../platform/clock.ts'
import { isIscsiUrl } from './iscsi/url.ts'

/** How long commands to LUNs at these places may outlive their process, by the clock of whoever waits, ms. */
export function orphanIoMs(urls: readonly string[], timings: Pick<Timings, 'orphanIoMs'>): number {
  return urls.some(isIscsiUrl) ? timings.orphanIoMs : 0
}

/** To be called when the process is known to be gone. Whether there was anything to wait for. */
export async function orphansOver(clock: Clock, lifeMs: number): Promise<boolean> {
  if (!(lifeMs > 0) || brokenRules.orphansAreAwaited) return false
  await sleep(clock, lifeMs)
  return true
}
