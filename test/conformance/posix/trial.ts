/**
 * One case while it runs: the calls (as root, unless `as` says otherwise) and what is expected of them. Every expectation counts
 * as one assertion and the case goes on after one that fails. A call outside of an expectation prepares something: when that
 * fails, the case ends there and counts as failed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CallError } from './agent.ts'
import { type Attributes, Calls, type Handle, type Kind, type Pending, type Port, type Time } from './calls.ts'
import { allowed } from './differences.ts'
import { root } from './users.ts'

export type Failure = { readonly what: string; readonly expected: string; readonly found: string }

/** Longer than a tick of the coarsest clock a kernel stamps files with, ms. */
const TICK_MS = 11
/** How far a file's clock may be from the agent's, s: several nodes share only NTP. */
const CLOCK_SLACK_S = 2

export class Trial extends Calls {
  readonly code: string
  /** The type of the filesystem, and its mount options. */
  readonly traits: readonly string[]
  readonly failures: Failure[] = []
  asserted = 0

  constructor(port: Port, code: string, traits: readonly string[]) {
    super(port, root)
    this.code = code
    this.traits = traits
  }

  /** Equal as JSON. */
  is(what: string, found: unknown, expected: unknown): void {
    this.among(what, found, [expected])
  }

  /** Equal to one of several answers that the rule allows. */
  among(what: string, found: unknown, expected: readonly unknown[]): void {
    this.asserted++
    const text = JSON.stringify(found) ?? 'nothing'
    const wanted = expected.map((value) => JSON.stringify(value))
    if (wanted.includes(text) || allowed(this.code, this.traits, text)) return
    this.failures.push({ what, expected: wanted.join(' or '), found: text })
  }

  that(what: string, holds: boolean): void {
    this.is(what, holds, true)
  }

  /** The call fails with that errno, or one of those. */
  async fails(errno: string | readonly string[], call: Pending<unknown>): Promise<void> {
    this.among(call.what, await outcome(call), typeof errno === 'string' ? [errno] : errno)
  }

  /** The call succeeds. */
  async works(call: Pending<unknown>): Promise<void> {
    this.is(call.what, await outcome(call), 'ok')
  }

  /** The call succeeds with that value. */
  async gives(expected: unknown, call: Pending<unknown>): Promise<void> {
    this.is(call.what, await outcome(call, true), expected)
  }

  /** These attributes of what `path` names (a symbolic link itself). */
  async has(path: string, expected: Partial<Attributes>): Promise<void> {
    const found = await this.look(path)
    for (const [key, value] of Object.entries(expected)) {
      const actual = found?.[key as keyof Attributes]
      const octal = key === 'mode'
      this.is(`${key} of ${path}`, octal ? bits(actual) : (actual ?? 'no such file'), octal ? bits(value) : value)
    }
  }

  /** Nothing has that name. */
  async gone(path: string): Promise<void> {
    const call = this.lstat(path)
    this.is(`${path} is gone: ${call.what}`, await outcome(call), 'ENOENT')
  }

  /** The file's content. */
  async holds(path: string, content: string): Promise<void> {
    const found = await outcome(this.readFile(path), true)
    this.is(`content of ${path}`, found, content)
  }

  async look(path: string): Promise<Attributes | undefined> {
    try {
      return await this.lstat(path)
    } catch (error) {
      if (error instanceof CallError) return undefined
      throw error
    }
  }

  /** Lets every clock that stamps files go on. */
  async tick(): Promise<void> {
    await sleep(TICK_MS)
  }

  /**
   * Which times `action` moves: for each path the letters of atime, mtime, ctime, such as 'mc', or '' for none; 'mc|c' leaves
   * a choice. A path that the action renames is written 'old>new'.
   */
  async touches(expected: Readonly<Record<string, string>>, action: () => Promise<unknown>): Promise<void> {
    const paths = Object.keys(expected).map((key) => ({ key, old: key.split('>')[0]!, now: key.split('>').at(-1)! }))
    const before: Attributes[] = []
    for (const { old } of paths) before.push(await this.lstat(old))
    await this.tick()
    await action()
    for (const [i, { key, now }] of paths.entries()) {
      const after = await this.look(now)
      this.among(
        `times of ${key} that moved`,
        after ? moved(before[i]!, after) : 'no such file',
        expected[key]!.split('|'),
      )
    }
  }

  /** The same for what an open descriptor refers to. */
  async touchesOpen(handle: Handle, expected: string, action: () => Promise<unknown>): Promise<void> {
    const before = await this.fstat(handle)
    await this.tick()
    await action()
    this.among('times that moved', moved(before, await this.fstat(handle)), expected.split('|'))
  }

  /** The time is that of now. */
  async current(what: string, time: Time): Promise<void> {
    const [now] = await this.now()
    this.that(`${what} is the current time`, Math.abs(time[0] - now) <= CLOCK_SLACK_S)
  }

  /** Makes an object of that kind, owned by root. */
  async make(kind: Kind | 'dangling', path: string): Promise<void> {
    if (kind === 'file') await this.create(path)
    else if (kind === 'dir') await this.mkdir(path)
    else if (kind === 'symlink') await this.symlink('.', path)
    else if (kind === 'dangling') await this.symlink('nowhere', path)
    else await this.mknod(path, kind, 0o644, kind === 'block' || kind === 'char' ? [1, 3] : [0, 0])
  }
}

/** 'ok' (or the value) or the errno. */
export async function outcome(call: Promise<unknown>, value = false): Promise<unknown> {
  try {
    const result = await call
    return value ? result : 'ok'
  } catch (error) {
    if (error instanceof CallError) return error.errno
    throw error
  }
}

function bits(mode: unknown): string {
  return typeof mode === 'number' ? mode.toString(8).padStart(4, '0') : 'no such file'
}

function moved(before: Attributes, after: Attributes): string {
  const same = (key: 'atime' | 'mtime' | 'ctime') =>
    before[key][0] === after[key][0] && before[key][1] === after[key][1]
  return `${same('atime') ? '' : 'a'}${same('mtime') ? '' : 'm'}${same('ctime') ? '' : 'c'}`
}
