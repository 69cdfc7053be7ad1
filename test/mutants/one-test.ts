/**
 * `node --import ./test/mutants/break-rule.ts test/mutants/one-test.ts FILE TEXT`: runs the tests of one file whose name contains TEXT, and ends
 * with the first that fails. uvu cannot choose tests by itself, so the file is handed a `suite` and a `test` of ours.
 */
import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

declare global {
  var MATRIXFS_TEST: string
  var MATRIXFS_MATCHED: number
  var UVU_DEFER: number
  var UVU_QUEUE: unknown[][]
}

const [node, , file, text] = process.argv
if (!node || !file || !text) throw new Error('usage: one-test.ts FILE TEXT')
process.argv = [node, resolve(file)]
globalThis.MATRIXFS_TEST = text
globalThis.MATRIXFS_MATCHED = 0
// as uvu's own runner does: tests are gathered, then run when we say so
globalThis.UVU_DEFER = 1
globalThis.UVU_QUEUE = [[null]]

const filter = new URL('./uvu-filter.ts', import.meta.url).href
registerHooks({
  resolve(specifier, context, next) {
    if (specifier === 'uvu-itself') return next('uvu', context)
    return specifier === 'uvu' && context.parentURL !== import.meta.url
      ? { url: filter, shortCircuit: true }
      : next(specifier, context)
  },
})

const { exec } = await import('uvu')
await import(pathToFileURL(resolve(file)).href)
if (globalThis.MATRIXFS_MATCHED === 0) throw new Error(`${file} has no test "${text}"`)
await exec(true)
process.exit()
