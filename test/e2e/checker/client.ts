/**
 * One client: calls one after another at one node by one protocol, on objects that all share, and every call and answer recorded. After a
 * call without an answer it goes on as another client, since that call may still be under way.
 */
import type { Prng } from '../../../src/base/prng.ts'
import { now } from './clock.ts'
import { type Driver, NotSent, Unanswered, wait } from './driver.ts'
import type { Operation } from './history.ts'
import * as objects from './objects.ts'

export type ClientOptions = {
  readonly name: string
  readonly node: string
  readonly protocol: string
  readonly prng: Prng
  /** Connects, also again. */
  readonly connect: () => Promise<Driver>
  readonly record: (operation: Operation) => void
  /** Whether more calls are to be made. */
  readonly goesOn: () => boolean
  /** Between calls, ms; left out: none. */
  readonly pauseMs?: number
  /** Whether any client of the run appends: else logs stay empty. */
  readonly hasLogs: boolean
}

/** Between attempts to reach a node that is away, ms. */
const RECONNECT_MS = 100

export class Client {
  readonly #options: ClientOptions
  #name: string
  #lives = 1
  #serial = 0

  constructor(options: ClientOptions) {
    this.#options = options
    this.#name = options.name
  }

  async run(): Promise<void> {
    const { goesOn, connect, pauseMs } = this.#options
    while (goesOn()) {
      let driver: Driver | undefined
      try {
        driver = await connect()
        while (goesOn()) {
          await this.#step(driver)
          if (pauseMs !== undefined) await wait(pauseMs)
        }
      } catch (error) {
        if (!(error instanceof Unanswered) && !(error instanceof NotSent)) throw error
        this.#name = `${this.#options.name}.${++this.#lives}`
        await wait(RECONNECT_MS)
      } finally {
        driver?.close()
      }
    }
  }

  async #step(driver: Driver): Promise<void> {
    const { prng, hasLogs } = this.#options
    const k = prng.float()
    if (k < 0.3) return this.#block(driver)
    if (k < 0.45) return this.#document(driver)
    if (k < 0.55 && hasLogs) return this.#log(driver)
    return this.#directories(driver)
  }

  #value(): string {
    return `${this.#options.name}-${this.#serial++}`
  }

  async #block(driver: Driver): Promise<void> {
    const { prng } = this.#options
    const file = prng.pick(objects.blockFiles)
    const block = prng.below(objects.BLOCKS)
    const object = `blocks/${file}[${block}]`
    if (driver.writeBlock && prng.chance(0.4)) {
      const value = this.#value()
      const stable = prng.chance(0.7)
      await this.#recorded(object, { kind: 'write', value }, stable, async () => {
        await driver.writeBlock?.(file, block, value, stable)
        return {}
      })
    } else {
      await this.#recorded(object, { kind: 'read' }, false, async () => ({
        value: await driver.readBlock(file, block),
      }))
    }
  }

  async #document(driver: Driver): Promise<void> {
    const { prng } = this.#options
    const name = `d${prng.below(objects.DOCUMENTS)}`
    const object = `documents/${name}`
    const k = prng.float()
    if (k < 0.35) {
      const value = this.#value()
      const replace = await driver.prepareDocument(name, value)
      await this.#recorded(object, { kind: 'write', value }, driver.durable, async () => {
        await replace()
        return {}
      })
    } else if (k < 0.45) {
      await this.#recorded(object, { kind: 'remove' }, driver.durable, async () => ({
        removed: await driver.removeDocument(name),
      }))
    } else {
      await this.#recorded(object, { kind: 'read' }, false, async () => ({ value: await driver.readDocument(name) }))
    }
  }

  async #log(driver: Driver): Promise<void> {
    const { prng } = this.#options
    const name = `l${prng.below(objects.LOGS)}-${Math.floor(now() / objects.LOG_EPOCH_MS)}`
    const object = `logs/${name}`
    if (driver.append && prng.chance(0.5)) {
      const record = this.#value()
      await this.#recorded(object, { kind: 'append', record }, false, async () => {
        await driver.append?.(name, record)
        return {}
      })
    } else {
      await this.#recorded(object, { kind: 'read' }, false, async () => ({ records: await driver.readLog(name) }))
    }
  }

  async #directories(driver: Driver): Promise<void> {
    const { prng, node, protocol, record } = this.#options
    const pair = prng.below(objects.PAIRS)
    const { call, make } = await driver.plan(pair, this.#value(), prng)
    const who = { client: this.#name, at: node, protocol, object: `pair${pair}`, durable: driver.durable }
    const start = now()
    try {
      for (const { call: made, answer } of await make()) record({ ...who, call: made, answer, start, end: now() })
    } catch (error) {
      if (error instanceof Unanswered) {
        const open = { answer: undefined, why: error.message, start, end: endOf(error) }
        record({ ...who, call, ...open })
      }
      throw error
    }
  }

  async #recorded(object: string, call: unknown, durable: boolean, make: () => Promise<unknown>): Promise<void> {
    const { node, protocol, record } = this.#options
    const who = { client: this.#name, at: node, protocol, object, call, durable }
    const start = now()
    try {
      record({ ...who, answer: await make(), start, end: now() })
    } catch (error) {
      if (error instanceof Unanswered) {
        record({ ...who, answer: undefined, why: error.message, start, end: endOf(error) })
      }
      throw error
    }
  }
}

/** When what was left open has surely come to its end. */
function endOf({ isOver }: Unanswered): number {
  return isOver ? now() : Number.POSITIVE_INFINITY
}
