/** What is done to the applications of a virtual host, and what a client and the events tell of it. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { eventsFile } from '../../../config/index.ts'
import { type MatrixEvent, parseEvents } from '../../../src/services/index.ts'
import type { VhostMatrix } from '../vhost/vhost-matrix.ts'
import { type Application, applications, breakAt, end } from './applications.ts'

const run = promisify(execFile)
/** Restarted here, or at another node (issue: within 10 s), ms. */
const GOAL_MS = 10_000
/** recover_after, then 10 s of being well, and the move, ms. */
const BACK_MS = 45_000
const BEGUN_MS = 60_000

export class Trial {
  readonly #matrix: VhostMatrix

  constructor(matrix: VhostMatrix) {
    this.#matrix = matrix
  }

  async begin(): Promise<void> {
    for (const application of Object.keys(applications) as Application[])
      await this.#answeredBy(application, 'n1', BEGUN_MS)
  }

  /** Its process ends: it is restarted where it is. */
  async stop(application: Application): Promise<string> {
    await this.#answeredBy(application, 'n1', GOAL_MS)
    await this.#isKnownUp(application)
    const before = this.events()
    end(this.#matrix.dir, 'n1', application)
    const ms = await this.#silentThen(application, 'n1', GOAL_MS)
    const news = await this.#news(before, 'service-restarted')
    expect(news, application, 'service-down', 'service-restarted')
    return `${application} was stopped: restarted at n1 after ${ms} ms`
  }

  /** Its process ends and cannot be started again: it comes up at the backup, with its virtual host; mended, it comes back by policy. */
  async breakDown(application: Application): Promise<string> {
    const { dir } = this.#matrix
    await this.#answeredBy(application, 'n1', GOAL_MS)
    await this.#isKnownUp(application)
    const before = this.events()
    breakAt(dir, 'n1', application, true)
    end(dir, 'n1', application)
    const ms = await this.#answeredBy(application, 'n2', GOAL_MS)
    const news = await this.#news(before, 'virtual-host-failed-over')
    expect(news, application, 'service-down', 'service-failed')
    const others = (Object.keys(applications) as Application[]).filter((each) => each !== application)
    for (const other of others) await this.#answeredBy(other, 'n2', GOAL_MS)
    breakAt(dir, 'n1', application, false)
    const moved = this.events()
    const backMs = await this.#answeredBy(application, 'n1', BACK_MS)
    await this.#news(moved, 'virtual-host-failed-back')
    return `${application} could not be restarted: at n2 after ${ms} ms; mended: back at n1 after ${backMs} ms`
  }

  /** Of all nodes, oldest first. Throws when two have one id. */
  events(): MatrixEvent[] {
    const all = this.#matrix.names.flatMap((name) => {
      try {
        return parseEvents(readFileSync(eventsFile(join(this.#matrix.dir, name)), 'utf8'))
      } catch {
        return [] // nothing has happened there yet
      }
    })
    if (new Set(all.map(({ id }) => id)).size < all.length) throw new Error('two events have one id')
    return all.sort((a, b) => a.at - b.at)
  }

  /** It answers a moment before its node has found out so: until then it is not down, but has not come up yet. */
  async #isKnownUp(application: Application): Promise<void> {
    for (const until = Date.now() + GOAL_MS; ; await sleep(100)) {
      const last = this.events().findLast(({ object }) => object.name === application)
      if (last && ['application-started', 'service-restarted', 'service-up'].includes(last.kind)) return
      if (Date.now() > until) throw new Error(`${application} is not known to be up: ${last?.kind}`)
    }
  }

  /** What has happened since, up to the first event of a kind. */
  async #news(before: readonly MatrixEvent[], kind: MatrixEvent['kind']): Promise<MatrixEvent[]> {
    const known = new Set(before.map(({ id }) => id))
    const deadline = performance.now() + GOAL_MS
    for (;;) {
      const news = this.events().filter(({ id }) => !known.has(id))
      // the other virtual host may have reasons of its own to move
      const count = news.filter(({ kind: each, object }) => each === kind && !isOther(object)).length
      if (count > 1) throw new Error(`${kind} was told ${count} times`)
      if (count === 1) return news
      if (performance.now() > deadline)
        throw new Error(`nobody has told ${kind}: ${news.map((event) => event.text).join('; ')}`)
      await sleep(100)
    }
  }

  /** Until a client at the virtual address hears a node answer; ms. */
  async #answeredBy(application: Application, node: string, limitMs: number): Promise<number> {
    const began = performance.now()
    for (;;) {
      const heard = await this.#ask(application)
      const ms = Math.round(performance.now() - began)
      if (heard === node) return ms
      if (ms > limitMs)
        throw new Error(`${application} is not at ${node} after ${ms} ms, but ${heard}\n${this.#matrix.tails()}`)
      await sleep(100)
    }
  }

  /** It is down for a moment, and answers again. */
  async #silentThen(application: Application, node: string, limitMs: number): Promise<number> {
    const began = performance.now()
    while ((await this.#ask(application)) === node) {
      if (performance.now() - began > limitMs) throw new Error(`${application} has not stopped`)
    }
    return Math.round(performance.now() - began) + (await this.#answeredBy(application, node, limitMs))
  }

  async #ask(application: Application): Promise<string> {
    const [program, ...before] = this.#matrix.segment.enter('client')
    const url = `http://${this.#matrix.files}:${applications[application]}/`
    const { stdout } = await run(program, [...before, 'curl', '-s', '-m', '1', url]).catch(() => ({ stdout: 'nobody' }))
    return stdout
  }
}

/** A virtual host that is not the one of the applications. */
function isOther({ type, name }: MatrixEvent['object']): boolean {
  return type === 'virtual-host' && name !== 'files'
}

/** Each of these was told once of an application. */
function expect(
  news: readonly MatrixEvent[],
  application: Application,
  ...kinds: readonly MatrixEvent['kind'][]
): void {
  for (const kind of kinds) {
    const count = news.filter((event) => event.kind === kind && event.object.name === application).length
    if (count !== 1) throw new Error(`${kind} of ${application} was told ${count} times`)
  }
}
