/**
 * Clients of one node's mount, in a process of their own: a call of the kernel that does not come back holds up nobody else. Started by
 * run.ts with `MountJob` as its argument; sends what happened in batches, and a last message when all clients are done.
 */
import { Prng } from '../../../src/base/prng.ts'
import { Client } from './client.ts'
import { now } from './clock.ts'
import type { Operation } from './history.ts'
import { MountDriver } from './mount-driver.ts'

export type MountJob = {
  readonly node: string
  readonly mount: string
  readonly clients: readonly string[]
  readonly seed: number
  readonly until: number
}

export type FromMountWorker =
  | { readonly operations: readonly Operation[] }
  | { readonly done: true }
  | { readonly failed: string }

const BATCH_MS = 200

const send = (message: FromMountWorker) => process.send?.(message)
const job = JSON.parse(process.argv[2] as string) as MountJob
let operations: Operation[] = []
const flush = () => {
  if (operations.length > 0) send({ operations })
  operations = []
}
const timer = setInterval(flush, BATCH_MS)
const clients = job.clients.map(
  (name, i) =>
    new Client({
      ...{ name, node: job.node, protocol: 'mount', prng: new Prng(job.seed + i), hasLogs: true },
      goesOn: () => now() < job.until,
      connect: () => MountDriver.connect(job.mount),
      record: (operation) => operations.push(operation),
    }),
)
Promise.all(clients.map((client) => client.run())).then(
  () => {
    clearInterval(timer)
    flush()
    send({ done: true })
    process.disconnect()
  },
  (error) => {
    send({ failed: String(error instanceof Error ? error.stack : error) })
    process.exit(1)
  },
)
