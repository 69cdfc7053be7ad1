/**
 * Loaded before a test file (`node --import`), also in its threads: breaks the rules that MATRIXFS_BREAK names, separated by commas.
 * The variable is read here and nowhere else.
 */
import { type BrokenRule, brokenRules } from '../../src/base/broken-rules.ts'

for (const name of (process.env['MATRIXFS_BREAK'] ?? '').split(',')) {
  if (name === '') continue
  if (!Object.hasOwn(brokenRules, name)) throw new Error(`MATRIXFS_BREAK: there is no rule '${name}'`)
  brokenRules[name as BrokenRule] = true
}
