/** Every command of `matrix` explains itself, and its examples are commands that there are. */
import type { Command } from 'commander'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { program } from '../../../src/cli/main.ts'

/** Commands whose result is no JSON on request, and why. */
const WITHOUT_JSON: Record<string, string> = {
  'matrix demo': 'runs until it is stopped; matrix.json is for programs',
  'matrix demo add-node': 'as the demo',
  'matrix demo start-node': 'as the demo',
  'matrix demo stop-node': 'as the demo',
  'matrix demo cut': 'as the demo',
  'matrix demo heal': 'as the demo',
  'matrix report': 'is JSON always',
  'matrix target run': 'runs until it is stopped',
  'matrix target ask': 'is JSON always',
  'matrix completion': 'is a script',
}

type Found = { readonly at: string; readonly command: Command }

function walk(command: Command, at: string): Found[] {
  return [{ at, command }, ...command.commands.flatMap((child) => walk(child, `${at} ${child.name()}`))]
}

const all = walk(program, 'matrix')
const acting = all.filter(({ command }) => command.commands.length === 0 || command.name() === 'demo')

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (more) => void (text += more) })
  command.outputHelp()
  return text
}

test('every command, argument and option says what it is', () => {
  assert.ok(acting.length > 40, `${acting.length} commands`)
  for (const { at, command } of all) {
    assert.ok(command.description().length > 10, `${at} has no description`)
    for (const argument of command.registeredArguments)
      assert.ok(argument.description.length > 2, `${at} <${argument.name()}> is not described`)
    for (const option of command.options)
      assert.ok(option.description.length > 5, `${at} ${option.flags} is not described`)
  }
})

test('every command that does something has an example of itself', () => {
  for (const { at, command } of acting) {
    const own = examplesIn(helpOf(command)).filter((example) => example === at || example.startsWith(`${at} `))
    assert.ok(own.length > 0, `${at} has no example`)
  }
})

test('every example is a command that there is, with its options, arguments and choices', () => {
  let examples = 0
  for (const { at, command } of all) {
    for (const example of examplesIn(helpOf(command))) {
      examples++
      const problem = problemOf(example)
      assert.is(problem, undefined, `${at} has the example "${example}": ${problem}`)
    }
  }
  assert.ok(examples > 60, `${examples} examples`)
})

test('an example that is wrong would be found', () => {
  assert.match(problemOf('matrix lun frob lun1') as string, /no command frob/)
  assert.match(problemOf('matrix lun add file:/x --nme y') as string, /no option --nme/)
  assert.match(problemOf('matrix lun add') as string, /1 argument/)
  assert.match(problemOf('matrix completion csh') as string, /csh/)
})

test('every result is there as JSON, too', () => {
  const without = acting.filter(({ command }) => !command.options.some(({ long }) => long === '--json'))
  assert.equal(without.map(({ at }) => at).sort(), Object.keys(WITHOUT_JSON).sort())
})

function examplesIn(help: string): string[] {
  const [, examples = ''] = /\nExamples?:\n([\s\S]*)$/.exec(help) ?? []
  return examples.split('\n').flatMap((line) => (line.startsWith('  matrix ') ? [line.trim()] : []))
}

function problemOf(example: string): string | undefined {
  const words = (example.replace(/ > \S+$/, '').match(/"[^"]*"|'[^']*'|\S+/g) ?? []).slice(1)
  let command = program
  const given: string[] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string
    if (word.startsWith('-')) {
      const option = command.options.find(({ long, short }) => long === word || short === word)
      if (!option) return `${command.name()} has no option ${word}`
      if (!option.required) continue
      do i++
      while (option.variadic && words[i + 1] !== undefined && !words[i + 1]?.startsWith('-'))
      continue
    }
    const child = given.length === 0 ? command.commands.find((each) => each.name() === word) : undefined
    if (!child && command.commands.length > 0) return `${command.name()} has no command ${word}`
    if (child) command = child
    else given.push(word)
  }
  const { registeredArguments: wanted } = command
  const least = wanted.filter(({ required }) => required).length
  if (given.length < least)
    return `${command.name()} wants ${least} argument${least === 1 ? '' : 's'}, not ${given.length}`
  if (given.length > wanted.length && !wanted.at(-1)?.variadic)
    return `${command.name()} takes ${wanted.length} arguments, not ${given.length}`
  const wrong = wanted.find(({ argChoices }, i) => argChoices && !argChoices.includes(given[i] as string))
  return wrong && `${given.join(' ')} is none of ${wrong.argChoices?.join(', ')}`
}

test.run()
