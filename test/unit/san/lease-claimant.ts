/** A process that claims a slot: `node lease-claimant.ts LUN SLOT IO_TIMEOUT_MS`. Says what became of it, one JSON line each. */

import { randomUUID } from 'node:crypto'
import { isMatrixError } from '../../../src/base/errors.ts'
import { timingsFrom } from '../../../src/base/timings.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realProcesses } from '../../../src/platform/real/processes.ts'
import { realThreads } from '../../../src/platform/real/threads.ts'
import { startLeaseThread } from '../../../src/san/index.ts'

const [lunUrl, slot, ioTimeoutMs] = process.argv.slice(2)
const say = (what: object) => void process.stdout.write(`${JSON.stringify(what)}\n`)

try {
  const lease = await startLeaseThread({
    threads: realThreads,
    lunUrls: [lunUrl as string],
    partitions: 1,
    owner: {
      slot: Number(slot),
      nodeName: `n${slot}`,
      hostName: 'here',
      address: { host: '127.0.0.1', port: 1 },
      process: realProcesses.self(),
      nonce: randomUUID(),
    },
    timings: timingsFrom(Number(ioTimeoutMs)),
    orphanIoMs: 0,
    log: silentLog,
    onEnd: (end) => say({ ended: end }),
  })
  await lease.setState('active')
  say({ claimed: lease.life.incarnation })
  // commands from the test; the thread alone would not keep this process alive
  process.stdin.on('data', async (data) => {
    const command = data.toString().trim()
    if (command === 'block') {
      const until = performance.now() + 6 * Number(ioTimeoutMs)
      while (performance.now() < until); // a main thread that is busy for longer than a lease
    }
    if (command === 'release') await lease.release()
    say({ good: lease.goodUntil() > Number(process.hrtime.bigint()) / 1e6 })
    if (command === 'release') process.exit(0)
  })
} catch (error) {
  say({ refused: isMatrixError(error) ? error.code : String(error), message: (error as Error).message })
}
