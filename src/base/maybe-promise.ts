/** The result of a verb: at once when everything it needs is cached, else later. The fast path never awaits. */
export type MaybePromise<T> = T | Promise<T>

export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise
}
