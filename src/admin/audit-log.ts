/**
 * Who has had what done at this node: `audit.log` in its folder, two JSON lines for each action, on stable storage before anything of it is done and when it has ended.
 *
 *     {"at":"2026-11-27T18:00:00.000Z","id":"1c9f02ab","by":"ann","from":"10.0.0.7","what":"drain-lun","about":{"uuid":"…"}}
 *     {"at":"2026-11-27T18:00:01.000Z","id":"1c9f02ab","outcome":"done","ms":1000}
 *
 * What is asked for step by step (an answer that says how much is `left`: a LUN is drained so) is one action, as long as the same one goes on asking: written down at its first step and
 * its last.
 *
 * An action without an end was under way when the node ended. A file that has become large becomes `audit.log.1`, and so on; the oldest one goes. When nothing can be
 * written, nothing is done: the action is refused.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { MatrixError } from '../base/errors.ts'
import type { Clock } from '../platform/index.ts'
import { type AuditLine, auditLine } from './api/access.ts'

const FILE_MAX = 4 * 1024 * 1024
const FILES_KEPT = 4
/** Of what an action is about, and of an outcome, characters. */
const ABOUT_MAX = 4_000

/** Whoever goes on with an action after so long begins another, ms. */
const STEPS_APART_MS = 60_000

export type Action = {
  readonly by: string
  readonly from: string
  readonly what: string
  readonly about: unknown
}

export class AuditLog {
  readonly #path: string
  readonly #clock: Clock
  /** Actions that have been begun step by step, by what is written of them. */
  readonly #goingOn = new Map<string, { readonly id: string; readonly began: number; readonly last: number }>()

  constructor(stateDir: string, clock: Clock) {
    this.#path = join(stateDir, 'audit.log')
    this.#clock = clock
  }

  /** Does it, and writes that down before and after. Rejects as `run`; with MatrixError 'config', and nothing is done, when it cannot be written down. */
  async run<T>({ about, ...action }: Action, run: () => Promise<T>): Promise<T> {
    const written = { ...action, about: JSON.stringify(about ?? null).slice(0, ABOUT_MAX) }
    const key = JSON.stringify(written)
    const goingOn = this.#takeUp(key)
    const id = goingOn?.id ?? randomBytes(4).toString('hex')
    const began = goingOn?.began ?? this.#clock.now()
    try {
      if (!goingOn) this.#write({ id, ...written })
    } catch (cause) {
      throw new MatrixError('config', `nothing was done: ${this.#path} cannot be written: ${String(cause)}`, { cause })
    }
    const end = (outcome: string): void => {
      try {
        this.#write({ id, outcome: outcome.slice(0, ABOUT_MAX), ms: Math.round(this.#clock.now() - began) })
      } catch {
        // that it was begun is written; what came of it others tell, too
      }
    }
    try {
      const result = await run()
      if (isStep(result)) this.#goingOn.set(key, { id, began, last: this.#clock.now() })
      else end('done')
      return result
    } catch (error) {
      end(error instanceof Error ? error.message : String(error))
      throw error
    }
  }

  /** An action of which this is the next step; those that nobody has gone on with are forgotten. */
  #takeUp(key: string): { readonly id: string; readonly began: number } | undefined {
    for (const [each, { last }] of this.#goingOn)
      if (this.#clock.now() - last > STEPS_APART_MS) this.#goingOn.delete(each)
    const found = this.#goingOn.get(key)
    this.#goingOn.delete(key)
    return found
  }

  /** The last ones, the newest first. */
  last(limit: number): readonly AuditLine[] {
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch {
      return []
    }
    const lines = text.split('\n').slice(-limit - 1)
    return lines
      .flatMap((written) => {
        const result = v.safeParse(v.pipe(v.string(), v.parseJson(), auditLine), written)
        return result.success ? [result.output] : [] // cut short by a crash
      })
      .reverse()
  }

  #write(fields: object): void {
    this.#rotate()
    const file = openSync(this.#path, 'a', 0o600)
    try {
      writeSync(file, `${JSON.stringify({ at: new Date(this.#clock.wall()).toISOString(), ...fields })}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  }

  #rotate(): void {
    if ((statSync(this.#path, { throwIfNoEntry: false })?.size ?? 0) < FILE_MAX) return
    for (let number = FILES_KEPT; number > 1; number--)
      if (statSync(`${this.#path}.${number - 1}`, { throwIfNoEntry: false }))
        renameSync(`${this.#path}.${number - 1}`, `${this.#path}.${number}`)
    renameSync(this.#path, `${this.#path}.1`)
  }
}

function isStep(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'left' in result && result.left !== undefined
}
