/**
 * What the death of a node may undo. A node shows a change to its own clients before it is durable, and other nodes see it only after
 * (the lock that covers it is given up after a flush). A node's changes become durable in the order in which they were made. So
 * when it dies, its latest changes may be undone, back to any moment after the last that was answered as durable, or that touched
 * something which another node has looked at since.
 *
 * A lock covers a part of the object (a directory, an inode), and nodes may be at work on different parts at once. Here a state is the
 * model's, together with the changes that a death may still undo, each with what the parts that it touched were before it. What
 * is undone was touched by nobody else since, so the rest of the state stays as it is.
 */
import type { Death, Operation } from './history.ts'
import type { Model } from './models/model.ts'

/** A change that is not known to be durable, and the state before it. */
type Change<State> = { readonly at: string; readonly parts: readonly string[]; readonly before: State }

export type Lossy<State> = {
  readonly now: State
  /** In the order in which they were made. */
  readonly volatile: readonly Change<State>[]
}

/** An operation of the history, or the death of a life. */
export type Item<Call, Answer> = { readonly operation: Operation<Call, Answer> } | { readonly death: Death }

/** Of a model whose object is covered by one lock. */
const WHOLE: readonly string[] = ['']

export class LossyModel<State, Call, Answer> {
  readonly #model: Model<State, Call, Answer>
  readonly #mortal: ReadonlySet<string>
  readonly #keys = new WeakMap<Lossy<State>, string>()

  constructor(model: Model<State, Call, Answer>, deaths: readonly Death[]) {
    this.#model = model
    this.#mortal = new Set(deaths.map(({ at }) => at))
  }

  get initial(): Lossy<State> {
    return { now: this.#model.initial, volatile: [] }
  }

  key(state: Lossy<State>): string {
    let key = this.#keys.get(state)
    if (key === undefined) {
      key = this.#model.key(state.now)
      for (const { at, parts, before } of state.volatile) key += ` (${at} ${parts.join()}: ${this.#model.key(before)})`
      this.#keys.set(state, key)
    }
    return key
  }

  step(state: Lossy<State>, item: Item<Call, Answer>): readonly Lossy<State>[] {
    if ('death' in item) return this.#die(state, item.death.at)
    const { operation } = item
    return this.#model
      .step(state.now, operation.call, operation.answer)
      .map((now) => this.#after(state, now, operation))
  }

  /** The latest of its changes are undone: none, one, two … or all. */
  #die(state: Lossy<State>, at: string): readonly Lossy<State>[] {
    const own = state.volatile.filter((change) => change.at === at)
    if (own.length === 0) return [state]
    const volatile = state.volatile.filter((change) => change.at !== at)
    let { now } = state
    const out: Lossy<State>[] = [{ now, volatile }]
    for (const { before, parts } of own.reverse()) {
      now = this.#model.parts?.restore(now, before, parts) ?? before
      out.push({ now, volatile })
    }
    return out
  }

  #after(state: Lossy<State>, now: State, { at, call, answer, durable }: Operation<Call, Answer>): Lossy<State> {
    // an answer that only told more of what is there has changed nothing
    const hasChanged = now !== state.now && !(answer !== undefined && this.#model.readOnly(call, answer))
    const touched = (each: State) => this.#model.parts?.touched(each, call) ?? WHOLE
    const parts = now === state.now ? touched(now) : [...new Set([...touched(state.now), ...touched(now)])]
    let volatile = this.#seen(state.volatile, at, parts)
    if (hasChanged && durable && answer !== undefined) volatile = volatile.filter((change) => change.at !== at)
    else if (hasChanged && this.#mortal.has(at)) volatile = [...volatile, { at, parts, before: state.now }]
    return now === state.now && volatile === state.volatile ? state : { now, volatile }
  }

  /** Somebody at `at` touches `parts`: whatever another node has changed there is durable, and what it changed before that. */
  #seen(volatile: readonly Change<State>[], at: string, parts: readonly string[]): readonly Change<State>[] {
    const touches = (change: Change<State>) => change.at !== at && change.parts.some((part) => parts.includes(part))
    if (!volatile.some(touches)) return volatile
    return volatile.filter(
      (change, index) => !volatile.slice(index).some((later) => later.at === change.at && touches(later)),
    )
  }

  /** May take effect at once wherever it fits: it changes nothing for those that come later. A death does, while answers of its life come. */
  isFree(state: Lossy<State>, item: Item<Call, Answer>): boolean {
    if ('death' in item) return false
    const { call, answer } = item.operation
    if (answer === undefined || !this.#model.readOnly(call, answer)) return false
    const after = this.step(state, item)
    return after.length === 1 && after[0] === state
  }
}
