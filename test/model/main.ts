/** `npm run models`: searches all models to their end and breaks all their rules. Exits with 0 when none is wrong and every broken rule is caught. */
import { suites } from './models.ts'
import { failureText, search } from './search.ts'

let wrong = 0
const seconds = (since: number) => ((performance.now() - since) / 1000).toFixed(1).padStart(7)

console.log(
  `${'model'.padEnd(52)}${'states'.padStart(10)}${'steps'.padStart(12)}${'depth'.padStart(7)}${'s'.padStart(7)}  outcome`,
)
for (const { name, sound, broken } of Object.values(suites)) {
  const never = new Set(sound.flatMap(({ model }) => model.actions))
  for (const { model } of sound) {
    const began = performance.now()
    const { states, transitions, depth, actions, failure } = search(model)
    for (const [action, times] of actions) if (times > 0) never.delete(action)
    const outcome = failure ? failure.kind.toUpperCase() : 'every state visited, none wrong'
    print(`${name}, ${model.name}`, states, transitions, depth, seconds(began), outcome)
    if (!failure) continue
    wrong++
    console.log(failureText(model, failure))
  }
  for (const action of never) {
    wrong++
    console.log(`${name}: "${action}" never happened`)
  }
  for (const { model, caughtAs, what } of broken) {
    const began = performance.now()
    const { states, transitions, depth, failure } = search(model)
    const caught = failure?.kind === caughtAs && what.test(failure.what)
    if (!caught) wrong++
    print(model.name, states, transitions, depth, seconds(began), caught ? `caught: ${failure.what}` : 'NOT CAUGHT')
  }
}
console.log(wrong === 0 ? 'all models held, all broken rules were caught' : `${wrong} wrong`)
process.exitCode = wrong === 0 ? 0 : 1

function print(name: string, states: number, transitions: number, depth: number, took: string, outcome: string): void {
  const counts = `${String(states).padStart(10)}${String(transitions).padStart(12)}${String(depth).padStart(7)}`
  console.log(`${name.padEnd(52)}${counts}${took}  ${outcome}`)
}
