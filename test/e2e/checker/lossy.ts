/**
 * What the death of a node may undo. A node shows a change to its own clients before it is durable, and other nodes see it only after
 * (the lock that covers it is given up after a flush). So when the node dies, the latest changes made there may be undone, back to
 * any moment after the last that was answered as durable or seen at another node.
 *
 * Here a state is the model's, together with those that a death of `at` may bring back.
 */
import type { Death, Operation } from './history.ts'
import type { Model } from './models/model.ts'

export type Lossy<State> = {
  readonly now: State
  /** Oldest first; empty when everything is durable. */
  readonly kept: readonly State[]
  /** The life that made what is not durable. */
  readonly at: string
}

/** An operation of the history, or the death of a life. */
export type Item<Call, Answer> = { readonly operation: Operation<Call, Answer> } | { readonly death: Death }

export class LossyModel<State, Call, Answer> {
  readonly #model: Model<State, Call, Answer>
  readonly #mortal: ReadonlySet<string>
  readonly #keys = new WeakMap<Lossy<State>, string>()

  constructor(model: Model<State, Call, Answer>, deaths: readonly Death[]) {
    this.#model = model
    this.#mortal = new Set(deaths.map(({ at }) => at))
  }

  get initial(): Lossy<State> {
    return { now: this.#model.initial, kept: [], at: '' }
  }

  key(state: Lossy<State>): string {
    let key = this.#keys.get(state)
    if (key === undefined) {
      key = this.#model.key(state.now)
      if (state.kept.length > 0)
        key += ` after ${state.at}: ${state.kept.map((old) => this.#model.key(old)).join(' , ')}`
      this.#keys.set(state, key)
    }
    return key
  }

  step(state: Lossy<State>, item: Item<Call, Answer>): readonly Lossy<State>[] {
    if ('death' in item) {
      if (state.kept.length === 0 || state.at !== item.death.at) return [state]
      return [state.now, ...state.kept].map((now) => ({ now, kept: [], at: '' }))
    }
    const { operation } = item
    return this.#model
      .step(state.now, operation.call, operation.answer)
      .map((now) => this.#after(state, now, operation))
  }

  #after(state: Lossy<State>, now: State, { at, call, answer, durable }: Operation<Call, Answer>): Lossy<State> {
    if (now === state.now && (state.kept.length === 0 || state.at === at)) return state
    // an answer that only told more of what is there has made nothing durable at its own node
    const hasChanged = now !== state.now && !(answer !== undefined && this.#model.readOnly(call, answer))
    if (!hasChanged && state.at === at) return { now, kept: state.kept, at }
    const isLost = hasChanged && this.#mortal.has(at) && !(durable && answer !== undefined)
    if (!isLost) return { now, kept: [], at: '' }
    const kept = state.at === at ? state.kept : []
    const key = this.#model.key(state.now)
    return { now, kept: kept.some((old) => this.#model.key(old) === key) ? kept : [...kept, state.now], at }
  }

  /** May take effect at once wherever it fits: it changes nothing for those that come later. */
  isFree(state: Lossy<State>, item: Item<Call, Answer>): boolean {
    if ('death' in item) return this.step(state, item)[0] === state
    const { call, answer } = item.operation
    if (answer === undefined || !this.#model.readOnly(call, answer)) return false
    const after = this.step(state, item)
    return after.length === 1 && after[0] === state
  }
}
