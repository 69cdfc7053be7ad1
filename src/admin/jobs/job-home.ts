/** A Redis that keeps jobs, as this node uses it: the queues for people, and the workers. Loaded once jobs are wanted, since BullMQ is large. */
import type { JobDesk } from './job-desk.ts'
import { JobQueues } from './job-queues.ts'
import { JobWorkers, type JobWorkersOptions } from './job-workers.ts'
import { QueueBoard } from './queue-board.ts'
import type { RedisPlace } from './redis-place.ts'

export class JobHome {
  readonly queues: JobQueues
  readonly #workers: JobWorkers
  #board: QueueBoard | undefined

  constructor(place: RedisPlace, desk: JobDesk, onChange: JobWorkersOptions['onChange']) {
    const { matrixName, clock, log } = desk.host
    let told = ''
    this.queues = new JobQueues(place, matrixName, clock, ({ message }) => {
      // each attempt to connect fails in the same way
      if (message !== told)
        log.warn({ redis: place.shown, error: message }, 'the Redis of the jobs is away; it is tried again')
      told = message
    })
    this.#workers = new JobWorkers({ place, prefix: this.queues.prefix, desk, onChange })
  }

  /** bull-board, for these queues. */
  board(base: string): QueueBoard {
    this.#board ??= new QueueBoard(this.queues.queues, base)
    return this.#board
  }

  /** Jobs of this node go back to their queues. Never rejects. */
  async close(): Promise<void> {
    await this.#workers.stop()
    await this.queues.close()
  }
}
