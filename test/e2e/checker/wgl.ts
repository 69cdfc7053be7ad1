/**
 * Is there one order of these operations, in keeping with their times, in which every answer is right? (Linearizability.) The search is that
 * of Wing and Gong (1993) with memoised configurations (Lowe 2017), walked forward in time, and lazily: an operation is put into
 * the order when it must be, at its end, together with whatever has to come before it.
 *
 * A configuration is a state of the object and which of the operations under way have already taken effect. At a quiescent
 * point, without any under way, only states are left: so the history falls into segments by itself, and its length does not matter.
 *
 *   reads       which fit are put into the order at once: they change nothing, so no order is lost by it
 *   open ends   an operation without an answer stays under way and may take effect until its `end`, or never. Of two configurations
 *               that differ only in that one has used up more of these, it is dropped
 *   deaths      of nodes are operations too, which undo what was not durable (lossy.ts)
 *
 * The number of configurations looked at is bounded; beyond it the verdict is 'undecided', which is not 'explained'.
 */
import type { Death, Operation } from './history.ts'
import { type Item, type Lossy, LossyModel } from './lossy.ts'
import type { Model } from './models/model.ts'

export type Verdict<Call = unknown, Answer = unknown> =
  | { readonly kind: 'explained'; readonly configurations: number; readonly operations: number }
  | { readonly kind: 'undecided'; readonly configurations: number; readonly operations: number }
  | {
      readonly kind: 'unexplained'
      readonly configurations: number
      readonly operations: number
      /** The smallest window found that no order explains; the last one to end is what does not fit. */
      readonly window: readonly Operation<Call, Answer>[]
      /** What the object may have been before it. */
      readonly before: readonly string[]
    }

export type SearchOptions = {
  readonly deaths?: readonly Death[]
  /** Configurations looked at, at most. */
  readonly bound?: number
}

const BOUND = 2_000_000
/** A window is made smaller only while it is no longer than this: each attempt is a search. */
const SHRINK_MAX = 200

/** `done`: the operations under way that have taken effect, ascending. */
type Configuration<State> = { readonly state: Lossy<State>; readonly done: readonly number[] }
type Under<Call, Answer> = {
  readonly item: Item<Call, Answer>
  readonly start: number
  readonly end: number
  readonly required: boolean
}

class Exceeded extends Error {}

/** Judges the operations of one object. */
export function explain<State, Call, Answer>(
  model: Model<State, Call, Answer>,
  operations: readonly Operation<Call, Answer>[],
  { deaths = [], bound = BOUND }: SearchOptions = {},
): Verdict<Call, Answer> {
  const relevant = model.relevant?.(operations) ?? operations
  const lossy = new LossyModel(model, deaths)
  const search = new Search(lossy, relevant, deaths, bound)
  const counts = () => ({ configurations: search.looked, operations: operations.length })
  try {
    const failed = search.run([lossy.initial])
    if (!failed) return { kind: 'explained', ...counts() }
    const before = failed.states.map((state) => lossy.key(state)).sort()
    const calls = failed.window.map(({ call }) => call)
    const isExpendable = ({ call, answer }: Operation<Call, Answer>) =>
      answer !== undefined && model.readOnly(call, answer) && !model.tells?.(answer, calls)
    const window = shrink(failed.window, isExpendable, (fewer) => {
      const again = new Search(lossy, fewer, deaths, Math.max(bound / 10, 10_000))
      try {
        return again.run(failed.states) !== undefined
      } catch (error) {
        if (error instanceof Exceeded) return false
        throw error
      }
    })
    return { kind: 'unexplained', ...counts(), window, before }
  } catch (error) {
    if (error instanceof Exceeded) return { kind: 'undecided', ...counts() }
    throw error
  }
}

type Failed<State, Call, Answer> = {
  readonly states: readonly Lossy<State>[]
  readonly window: readonly Operation<Call, Answer>[]
}

class Search<State, Call, Answer> {
  looked = 0
  readonly #model: LossyModel<State, Call, Answer>
  readonly #items: readonly Under<Call, Answer>[]
  readonly #bound: number
  readonly #pending = new Set<number>()

  constructor(
    model: LossyModel<State, Call, Answer>,
    operations: readonly Operation<Call, Answer>[],
    deaths: readonly Death[],
    bound: number,
  ) {
    this.#model = model
    this.#bound = bound
    this.#items = [
      ...operations.map((operation) => ({
        item: { operation },
        start: operation.start,
        end: operation.end,
        required: operation.answer !== undefined,
      })),
      ...deaths.map((death) => ({
        item: { death },
        start: death.time,
        end: Number.POSITIVE_INFINITY,
        required: false,
      })),
    ]
  }

  /** Walks the history; gives the window in which nothing fits any more, undefined when all fits. */
  run(states: readonly Lossy<State>[]): Failed<State, Call, Answer> | undefined {
    let configurations: readonly Configuration<State>[] = states.map((state) => ({ state, done: [] }))
    let segment = { states, from: 0 }
    const events = this.#events()
    let underWay = 0
    for (const [position, { index, isEnd }] of events.entries()) {
      const { required } = this.#items[index] as Under<Call, Answer>
      if (!isEnd) {
        if (required && underWay++ === 0) segment = { states: configurations.map(({ state }) => state), from: position }
        this.#pending.add(index)
        configurations = configurations.map((each) => this.#withFree(each))
        continue
      }
      configurations = this.#end(configurations, index)
      this.#pending.delete(index)
      if (required) underWay--
      if (configurations.length === 0) {
        const begun = new Set(events.slice(segment.from, position + 1).map((event) => event.index))
        for (const left of this.#pending) begun.add(left) // of open outcome, from before
        return { states: segment.states, window: this.#operations([...begun]) }
      }
    }
    return undefined
  }

  #events(): { readonly index: number; readonly isEnd: boolean; readonly at: number }[] {
    const events = this.#items.flatMap(({ start, end }, index) => [
      { index, isEnd: false, at: start },
      ...(end === Number.POSITIVE_INFINITY ? [] : [{ index, isEnd: true, at: end }]),
    ])
    // what ends when another starts may have overlapped it
    return events.sort((a, b) => a.at - b.at || Number(a.isEnd) - Number(b.isEnd) || a.index - b.index)
  }

  #operations(indices: readonly number[]): Operation<Call, Answer>[] {
    return indices.flatMap((index) => {
      const { item } = this.#items[index] as Under<Call, Answer>
      return 'operation' in item ? [item.operation] : []
    })
  }

  /** `index` ends now: whoever has not put it into the order does; or is out, if it was answered. */
  #end(configurations: readonly Configuration<State>[], index: number): readonly Configuration<State>[] {
    const { required } = this.#items[index] as Under<Call, Answer>
    const out = new Map<string, Configuration<State>>()
    const keep = ({ state, done }: Configuration<State>): void => {
      const rest = { state, done: done.filter((other) => other !== index) }
      out.set(this.#key(rest), rest)
    }
    const stack: Configuration<State>[] = []
    const seen = new Set<string>()
    for (const each of configurations) {
      const hasIt = each.done.includes(index)
      if (hasIt || !required) keep(each)
      if (!hasIt) stack.push(each)
    }
    for (let each = stack.pop(); each; each = stack.pop()) {
      if (++this.looked > this.#bound) throw new Exceeded('too many configurations')
      for (const next of this.#pending) {
        if (each.done.includes(next)) continue
        const { item } = this.#items[next] as Under<Call, Answer>
        for (const state of this.#model.step(each.state, item)) {
          if ('death' in item && state === each.state) continue // nothing to undo yet
          const done = [...each.done, next].sort((a, b) => a - b)
          const reached = this.#withFree({ state, done })
          if (reached.done.includes(index)) {
            keep(reached)
            continue
          }
          const key = this.#key(reached)
          if (seen.has(key)) continue
          seen.add(key)
          stack.push(reached)
        }
      }
    }
    return this.#withoutDominated([...out.values()])
  }

  #withFree(configuration: Configuration<State>): Configuration<State> {
    let free: number[] | undefined
    for (const index of this.#pending) {
      if (configuration.done.includes(index)) continue
      if (this.#model.isFree(configuration.state, (this.#items[index] as Under<Call, Answer>).item))
        (free ??= []).push(index)
    }
    if (!free) return configuration
    return { state: configuration.state, done: [...configuration.done, ...free].sort((a, b) => a - b) }
  }

  /** Of configurations alike but for the open outcomes they have used, only those that have used the least stay. */
  #withoutDominated(configurations: readonly Configuration<State>[]): readonly Configuration<State>[] {
    if (configurations.length < 2) return configurations
    const groups = new Map<
      string,
      { readonly configuration: Configuration<State>; readonly used: readonly number[] }[]
    >()
    for (const configuration of configurations) {
      const isRequired = (index: number) => (this.#items[index] as Under<Call, Answer>).required
      const used = configuration.done.filter((index) => !isRequired(index))
      const key = this.#key({ state: configuration.state, done: configuration.done.filter(isRequired) })
      const group = groups.get(key) ?? []
      if (group.some((other) => other.used.every((index) => used.includes(index)))) continue
      const rest = group.filter((other) => !used.every((index) => other.used.includes(index)))
      groups.set(key, [...rest, { configuration, used }])
    }
    return [...groups.values()].flatMap((group) => group.map(({ configuration }) => configuration))
  }

  #key({ state, done }: Configuration<State>): string {
    return `${done.join()} ${this.#model.key(state)}`
  }
}

/** Leaves out what only looked, as long as the rest still fails: fewer answers to explain, so it fails all the more. */
function shrink<O>(
  window: readonly O[],
  isExpendable: (operation: O) => boolean,
  fails: (fewer: readonly O[]) => boolean,
): readonly O[] {
  if (window.length > SHRINK_MAX) return window
  let smallest = window
  for (const operation of window) {
    if (!isExpendable(operation)) continue
    const fewer = smallest.filter((other) => other !== operation)
    if (fails(fewer)) smallest = fewer
  }
  return smallest
}
