/**
 * A kind of long work as a job: what it is given, and how it is done. The work itself is elsewhere (the node's verbs, the `matrix` command); a kind says in
 * which steps it is asked for, and what is told meanwhile.
 *
 * A job may be interrupted at any moment, by a cancel, a dead node or a lost Redis, and is then run again from its beginning, here or elsewhere, with
 * what it has kept. So each step either may be done twice, or `keep` has said before it that it is about to be done.
 */
import type * as v from 'valibot'
import type { JobResult } from '../api/jobs.ts'
import type { JobDesk } from './job-desk.ts'

export type JobInput = Readonly<Record<string, unknown>>

/** What one run of a job is given. */
export type JobWork = {
  /** Aborted when the job is cancelled, or is another worker's by now. */
  readonly signal: AbortSignal
  /** What an earlier run has kept; undefined when there was none. */
  readonly kept: unknown
  /** Rejects when it cannot be kept: what must not be done twice must not be done then. */
  keep(what: unknown): Promise<void>
  /** 0…100, and what is being done. */
  tell(percent: number, sentence: string): void
  /** A line of the job's log. */
  log(line: string): void
  /** Asks until there is an answer, as long as the matrix has other things to do for a moment. */
  persist<T>(once: () => Promise<T>): Promise<T>
}

export type JobKind = {
  /** That of its queue. */
  readonly name: string
  readonly title: string
  /** For people who choose one. */
  readonly summary: string
  /** It interrupts something: people are asked before it starts. */
  readonly confirm?: true
  /** Of its input; every entry has a title. */
  readonly input: v.GenericSchema<unknown, JobInput>
  /** What it is about. */
  object(input: JobInput): string
  /** Tried again by hand, it goes on with what it has kept. */
  readonly resumes?: true
  /** How often it is tried when something fails that may pass: 1 is once. */
  readonly attempts: number
  /** Rejects with what is told to people. */
  run(input: JobInput, work: JobWork, desk: JobDesk): Promise<JobResult>
}

/** A kind whose `object` and `run` have the input as its schema gives it. */
export function jobKind<const Input extends JobInput>(
  kind: Omit<JobKind, 'input' | 'object' | 'run'> & {
    readonly input: v.GenericSchema<unknown, Input>
    object(input: Input): string
    run(input: Input, work: JobWork, desk: JobDesk): Promise<JobResult>
  },
): JobKind {
  return kind as unknown as JobKind
}
