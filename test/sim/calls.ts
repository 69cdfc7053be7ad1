/** What virtual clients need to call a simulated node. */
import { isPromise } from '../../src/base/maybe-promise.ts'
import { asOfNow } from '../../src/metadata/cache/inode-snapshot.ts'
import type { Caller, MatrixFs } from '../../src/metadata/index.ts'
import type { SimHost } from './world.ts'

export const ROOT: Caller = { uid: 0, gid: 0, gids: [] }

/** Resolves once what the filesystem has answered so far would survive. */
export function durable(fs: MatrixFs): Promise<void> {
  return new Promise((resolve, reject) => fs.afterDurable((error) => (error ? reject(error) : resolve())))
}

/** The filesystem of a node as a client reaches it: a call arrives when the node's main thread runs, and never at a dead one. */
export function callsTo<T extends object = MatrixFs>(fs: T, host: SimHost): T {
  return new Proxy(fs, {
    get: (_fs, key) => {
      const verb = Reflect.get(fs, key) as unknown
      if (key === 'dav') return callsTo(verb as object, host)
      if (typeof verb !== 'function') return verb
      return (...args: unknown[]) =>
        new Promise((resolve, reject) => {
          host.enter(() => {
            try {
              const answer = verb.apply(fs, args)
              // taken in this turn, as a gateway encodes its reply
              resolve(isPromise(answer) ? answer : asOfNow(answer))
            } catch (error) {
              reject(error)
            }
          })
        })
    },
  })
}
