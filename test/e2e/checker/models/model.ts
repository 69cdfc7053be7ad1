/** What an object does when operations come one after another: the specification that a concurrent history is held against. */
import type { Operation } from '../history.ts'

export interface Model<State, Call, Answer> {
  readonly initial: State
  /** Equal for equal states. */
  key(state: State): string
  /**
   * The states in which `call`, answered so, leaves the object; none when this answer is wrong here. Without an answer: what it may have
   * done, all ways of having done nothing left out. An unchanged state is returned as the same object.
   */
  step(state: State, call: Call, answer: Answer | undefined): readonly State[]
  /** So answered it can have changed nothing. */
  readOnly(call: Call, answer: Answer): boolean
  /** What this answer tells is what one of these calls goes by. */
  tells?(answer: Answer, calls: readonly Call[]): boolean
  describe(call: Call, answer: Answer | undefined): string
  /** Of an object that is covered by several locks; else one covers it whole. */
  readonly parts?: {
    /** What `call` looks at or changes here, by the locks that cover it. */
    touched(state: State, call: Call): readonly string[]
    /** `state`, with these parts as they are in `before`. */
    restore(state: State, before: State, parts: readonly string[]): State
  }
  /** Leaves out operations of open outcome that explain nothing. */
  relevant?(operations: readonly Operation<Call, Answer>[]): readonly Operation<Call, Answer>[]
}
