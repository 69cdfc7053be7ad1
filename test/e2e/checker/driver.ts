/**
 * A client of one node by one protocol, as the checker needs it. A call that fails in a way that leaves its outcome open (no answer, an I/O
 * error) rejects with `Unanswered`; one that was surely not made with `NotSent`. "Later" of a server is repeated until it is over.
 */
import type { Prng } from '../../../src/base/prng.ts'
import type { DirectoryAnswer, DirectoryCall } from './models/directory.ts'

export class Unanswered extends Error {
  override readonly name = 'Unanswered'
  /** The call is over, whatever it has done: it does nothing any more. */
  readonly isOver: boolean

  constructor(message: string, isOver: boolean) {
    super(message)
    this.isOver = isOver
  }
}

export class NotSent extends Error {
  override readonly name = 'NotSent'
}

/** A directory call as made, and its answer; several, when the protocol's answer is not of one moment. */
export type Told = { readonly call: DirectoryCall; readonly answer: DirectoryAnswer }

/** One call on a pair of directories, ready to be made: `call` is what it means, for when no answer comes. */
export type Plan = { readonly call: DirectoryCall; readonly make: () => Promise<readonly Told[]> }

export interface Driver {
  /** An answer to a change promises that it outlives the node. */
  readonly durable: boolean
  readBlock(file: string, block: number): Promise<string>
  /** Where the protocol can write a part of a file. `stable`: the answer has to promise durability. */
  writeBlock?(file: string, block: number, value: string, stable: boolean): Promise<void>
  /** '' when there is none. */
  readDocument(name: string): Promise<string>
  /** What can be done before the document is replaced by one step; resolves to that step. */
  prepareDocument(name: string, value: string): Promise<() => Promise<void>>
  /** Whether there was one; undefined where the protocol does not tell. */
  removeDocument(name: string): Promise<boolean | undefined>
  readLog(name: string): Promise<readonly string[]>
  /** Where the protocol has appends. */
  append?(name: string, record: string): Promise<void>
  /** A random call on pair `pair`, of those the protocol has. */
  plan(pair: number, token: string, prng: Prng): Promise<Plan>
  close(): void
}

/** A name of a pair as the model has it, and its parts. */
export type Place = { readonly side: string; readonly name: string; readonly path: string }

export function pickPlace(prng: Prng, sides: readonly string[], names: readonly string[]): Place {
  const side = prng.pick(sides)
  const name = prng.pick(names)
  return { side, name, path: `${side}/${name}` }
}

/**
 * What was seen of each name of a directory at some moment of one listing: nothing about two names at once. A name that was removed and made
 * again meanwhile may be listed twice.
 */
export function presence(
  side: string,
  names: readonly string[],
  seen: readonly (DirectoryAnswer & { name: string })[],
): Told[] {
  return names.flatMap((name): Told[] => {
    const found = seen.filter((entry) => entry.name === name)
    const call = { kind: 'present', name: `${side}/${name}` } as const
    if (found.length === 0) return [{ call, answer: { there: false } }]
    return found.map(({ type }) => ({ call, answer: { there: true, type } }))
  })
}

export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
