/** The result of a verb: at once when everything it needs is cached, else later. The fast path never awaits. */
export type MaybePromise<T> = T | Promise<T>

export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise
}

/** What `run` throws at once is as if it were rejected. */
export function attempt<T>(run: () => MaybePromise<T>): MaybePromise<T> {
  try {
    return run()
  } catch (error) {
    return Promise.reject(error)
  }
}
