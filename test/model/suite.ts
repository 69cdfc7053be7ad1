/** A suite of models as tests: sound ones are searched to their end, broken ones are caught, and between them everything happens. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Suite } from './models.ts'
import { failureText, search } from './search.ts'

/** Registers the tests of the short models of `suite`. */
export function testSuite(suite: Suite): void {
  const reached = new Set<string>()
  const actions = new Set<string>()
  for (const { model, short } of suite.sound) {
    if (!short) continue
    test(`${suite.name}, ${model.name}: every state is visited, none is wrong`, () => {
      const { failure, states, depth, unreached } = search(model)
      assert.not.ok(failure, failure && failureText(model, failure))
      console.log(`${suite.name}, ${model.name}: ${states} states, ${depth} steps deep`)
      for (const action of model.actions) {
        actions.add(action)
        if (!unreached.includes(action)) reached.add(action)
      }
    })
  }
  test(`${suite.name}: every action has happened`, () => {
    assert.equal(
      [...actions].filter((action) => !reached.has(action)),
      [],
    )
  })
  for (const { model, caughtAs, what, short } of suite.broken) {
    if (!short) continue
    test(`${model.name} is caught`, () => {
      const { failure } = search(model)
      assert.is(failure?.kind, caughtAs)
      assert.match(failure?.what ?? '', what)
    })
  }
}
