/** uvu with one difference: of a file's tests only those are kept whose name contains `globalThis.MATRIXFS_TEST` (one-test.ts). */
import * as uvu from 'uvu-itself'

type Suite = ReturnType<typeof uvu.suite>

function filtered(real: Suite): Suite {
  const add = (name: string, handler: never): void => {
    if (!name.includes(globalThis.MATRIXFS_TEST)) return
    globalThis.MATRIXFS_MATCHED++
    real(name, handler)
  }
  return Object.assign(add, real) as Suite
}

export const suite = ((...args: Parameters<typeof uvu.suite>) => filtered(uvu.suite(...args))) as typeof uvu.suite
export const test = filtered(uvu.test as Suite)
