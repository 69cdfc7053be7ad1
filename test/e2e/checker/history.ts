/**
 * What clients did and were told: the record that the search (wgl.ts) judges. All times are of one monotonic clock, ms.
 *
 * An operation took effect at one moment between `start` and `end`, if it was answered. If not (no answer came, its node died),
 * the outcome is open: it took effect at some moment until `end`, or never; `end` is then Infinity, or when it surely was over.
 */

export type Operation<Call = unknown, Answer = unknown> = {
  readonly client: string
  /** The life of the node it was done at: 'n1', or 'n1@2' once it has died and come back. */
  readonly at: string
  readonly protocol: string
  /** The object of the model it belongs to: histories are judged per object (Herlihy and Wing 1990, locality). */
  readonly object: string
  readonly call: Call
  /** undefined: the outcome is open. */
  readonly answer: Answer | undefined
  /** Why there is none. */
  readonly why?: string
  /** The answer promised that the effect outlives the node. */
  readonly durable: boolean
  readonly start: number
  readonly end: number
}

/** A life of a node ended at some moment from `time` on: it undid whatever of it nobody was promised or shown elsewhere. */
export type Death = { readonly at: string; readonly time: number }

/** The operations of each object, in the order of their start. */
export function byObject<O extends Operation>(operations: readonly O[]): Map<string, O[]> {
  const objects = new Map<string, O[]>()
  for (const operation of operations) {
    const own = objects.get(operation.object)
    if (own) own.push(operation)
    else objects.set(operation.object, [operation])
  }
  for (const own of objects.values()) own.sort((a, b) => a.start - b.start)
  return objects
}
