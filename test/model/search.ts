/**
 * An explicit-state search: breadth first over every state that a small model can reach.
 *
 * A model is a pure function from a state to its successors; a state is an immutable value with a canonical key. The search
 * visits every state once and keeps of each its key and its parent. So it is exact (no hashes stand for states), and the
 * first violation it meets has a shortest trace, which is found by walking the parents' keys from an initial state again.
 *
 * What it can find wrong:
 *   - `violation`: the state itself breaks an invariant;
 *   - `deadlock`:  nothing can happen in a state that is not final;
 *   - `stuck`:     no goal can be reached from a state any more, whatever happens (for every state a way has to be left).
 * A search that reaches more than `maxStates` throws: a model that was not searched to its end shows nothing.
 */

/** One thing that happens: an action of `actions`, where (a node, a partition), and the state afterwards. */
export type Step<S> = { readonly action: string; readonly where: string; readonly state: S }

export type Model<S> = {
  readonly name: string
  /** Every action there is: the report names those that never happened. */
  readonly actions: readonly string[]
  initial(): Iterable<S>
  next(state: S): Iterable<Step<S>>
  /** The same for equal states, and only for them. */
  encode(state: S): string
  /** Which invariant the state breaks; undefined when none. */
  violation(state: S): string | undefined
  /** Nothing needs to happen any more. Without this function no state may be without a successor. */
  final?(state: S): boolean
  /** When given, every state must have a way to a state in which this holds. */
  goal?(state: S): boolean
  /** For traces. */
  describe(state: S): string
}

export type Failure = {
  readonly kind: 'violation' | 'deadlock' | 'stuck'
  readonly what: string
  /** The shortest way there, a line per step. */
  readonly trace: readonly string[]
}

export type SearchResult = {
  readonly states: number
  readonly transitions: number
  /** Steps from an initial state to the state farthest away. */
  readonly depth: number
  /** How often each action happened. */
  readonly actions: ReadonlyMap<string, number>
  readonly unreached: readonly string[]
  readonly failure: Failure | undefined
}

const MAX_STATES = 4_000_000
const NO_PARENT = -1

/** `checkKeys` compares the states behind equal keys, for small models: a key that says too little hides states. */
export function search<S>(model: Model<S>, { maxStates = MAX_STATES, checkKeys = false } = {}): SearchResult {
  const indexOf = new Map<string, number>()
  const keys: string[] = []
  const wholes: string[] = []
  const parents: number[] = []
  const edges = model.goal ? new Edges() : undefined
  const goals: number[] = []
  const actions = new Map(model.actions.map((action) => [action, 0]))
  let transitions = 0
  let depth = 0
  let failure: Failure | undefined

  const fail = (kind: Failure['kind'], what: string, index: number) => {
    failure = { kind, what, trace: traceTo(model, keys, parents, index) }
  }
  /** The state's number; a new one is checked and queued. */
  const visit = (state: S, parent: number, queue: { index: number; state: S }[]): number => {
    const key = model.encode(state)
    const known = indexOf.get(key)
    const whole = checkKeys ? wholeText(state) : ''
    if (known !== undefined) {
      if (checkKeys && wholes[known] !== whole) {
        throw new Error(`${model.name}: one key stands for two states\n${wholes[known]}\n${whole}`)
      }
      return known
    }
    if (checkKeys) wholes.push(whole)
    const index = keys.length
    if (index >= maxStates) throw new Error(`${model.name}: more than ${maxStates} states`)
    indexOf.set(key, index)
    keys.push(key)
    parents.push(parent)
    queue.push({ index, state })
    const what = model.violation(state)
    if (what !== undefined && !failure) fail('violation', what, index)
    if (model.goal?.(state)) goals.push(index)
    return index
  }

  let level: { index: number; state: S }[] = []
  for (const state of model.initial()) visit(state, NO_PARENT, level)
  while (level.length > 0 && !failure) {
    const following: typeof level = []
    for (const { index, state } of level) {
      let successors = 0
      for (const step of model.next(state)) {
        successors++
        transitions++
        const times = actions.get(step.action)
        if (times === undefined) throw new Error(`${model.name} does not list its action "${step.action}"`)
        actions.set(step.action, times + 1)
        const reached = visit(step.state, index, following)
        edges?.add(index, reached)
        if (failure) break
      }
      if (!failure && successors === 0 && !model.final?.(state)) fail('deadlock', 'nothing can happen any more', index)
      if (failure) break
    }
    if (following.length > 0) depth++
    level = following
  }
  if (edges && !failure) {
    const lost = edges.firstWithoutWayTo(goals, keys.length)
    if (lost !== undefined) fail('stuck', 'from here no goal can be reached any more', lost)
  }
  const unreached = model.actions.filter((action) => actions.get(action) === 0)
  return { states: keys.length, transitions, depth, actions, unreached, failure }
}

/** Walks from an initial state to the state with number `index`; a line per step. */
function traceTo<S>(model: Model<S>, keys: readonly string[], parents: readonly number[], index: number): string[] {
  const path: string[] = []
  for (let at = index; at !== NO_PARENT; at = parents[at]) path.unshift(keys[at])
  let state = [...model.initial()].find((first) => model.encode(first) === path[0]) as S
  const lines = [`   0. start\n      ${model.describe(state)}`]
  for (let i = 1; i < path.length; i++) {
    const step = [...model.next(state)].find((candidate) => model.encode(candidate.state) === path[i])
    if (!step) throw new Error(`${model.name}: next() gives other states than before`)
    state = step.state
    lines.push(
      `${String(i).padStart(4)}. ${step.action}${step.where && `: ${step.where}`}\n      ${model.describe(state)}`,
    )
  }
  return lines
}

/** Everything a state says, in one order of fields. */
function wholeText(state: unknown): string {
  return JSON.stringify(state, (_, value) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}

/** The transitions, to walk them backwards. */
class Edges {
  #pairs = new Uint32Array(1 << 16)
  #count = 0

  add(from: number, to: number): void {
    if (this.#count + 2 > this.#pairs.length) {
      const larger = new Uint32Array(this.#pairs.length * 2)
      larger.set(this.#pairs)
      this.#pairs = larger
    }
    this.#pairs[this.#count++] = from
    this.#pairs[this.#count++] = to
  }

  /** The first of the states 0 … states-1 from which none of `goals` can be reached; undefined when there is none. */
  firstWithoutWayTo(goals: readonly number[], states: number): number | undefined {
    // sources of each state, one after the other: those of state s stand at starts[s] … starts[s + 1] - 1
    const starts = new Uint32Array(states + 1)
    for (let i = 0; i < this.#count; i += 2) starts[this.#pairs[i + 1] + 1]++
    for (let s = 0; s < states; s++) starts[s + 1] += starts[s]
    const sources = new Uint32Array(this.#count / 2)
    const filled = starts.slice()
    for (let i = 0; i < this.#count; i += 2) sources[filled[this.#pairs[i + 1]]++] = this.#pairs[i]
    const good = new Uint8Array(states)
    const open = [...goals]
    for (const goal of goals) good[goal] = 1
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      for (let i = starts[state]; i < starts[state + 1]; i++) {
        const source = sources[i]
        if (good[source]) continue
        good[source] = 1
        open.push(source)
      }
    }
    const lost = good.indexOf(0)
    return lost < 0 ? undefined : lost
  }
}

/** What a failed search tells: the violation and the way to it. */
export function failureText(model: { readonly name: string }, { kind, what, trace }: Failure): string {
  return [`${model.name}: ${kind}: ${what}, after ${trace.length - 1} steps`, ...trace].join('\n')
}
