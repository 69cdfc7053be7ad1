import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { importsOf, lineOf, parse } from '../../../tools/source.ts'

const test = suite('tools/source.ts')

const blanked = (text: string): string => parse('x.ts', text).code

test('comments, strings and regular expressions are blanked, lines and lengths stay', () => {
  assert.is(blanked('a // b\nc'), 'a     \nc')
  assert.is(blanked('a /* b\nb */ c'), 'a     \n     c')
  assert.is(blanked(`f('it\\'s', "x")`), `f('     ', " ")`)
  assert.is(blanked(`x = /['"\`/]+/g.test(y)`), `x = /       /g.test(y)`.replace('/       /', `/${' '.repeat(7)}/`))
  assert.is(blanked('#!/usr/bin/env node\na'), `${' '.repeat(19)}\na`)
  for (const text of ['`a${b}c`', "'open", '`open', '/* open', 'a / b / c', '}', '`${', "'\\"]) {
    assert.is(blanked(text).length, text.length, text)
  }
})

test('a division is no regular expression', () => {
  assert.is(blanked("a / b + 'c' / d"), "a / b + ' ' / d")
  assert.is(blanked("(a) / 2 + list[0] / 'x'"), "(a) / 2 + list[0] / ' '")
  assert.is(blanked("return /'/.test(s) // it's"), `return / /.test(s) ${' '.repeat(7)}`)
})

test('code inside templates is code, also nested', () => {
  assert.is(blanked('`x${ f({a: `y${z}`}) }w` + v'), '` ${ f({a: ` ${z}`}) } ` + v')
  assert.is(blanked('`// ${a}` // b'), '`   ${a}`     ')
})

test('imports of all forms are found, and only those', () => {
  const source = parse(
    'x.ts',
    `// import a from './comment.ts'
import a, { b } from './one.ts'
import type { C } from "./two.ts"
import {
  d,
} from './three.ts'
import './four.ts'
export * from './five.ts'
const six = await import('./six.ts')
const seven: import('./seven.ts').T = require('./eight.ts')
const text = "import x from './string.ts'"
const entry = new URL('./nine-worker.ts', import.meta.url)
const page = new URL('./page.html', import.meta.url)
`,
  )
  const found = importsOf(source)
  assert.equal(
    found.map(({ specifier }) => specifier),
    ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine-worker'].map((name) => `./${name}.ts`),
  )
  assert.is(found[0]!.clause, 'a, { b }')
  assert.is(found[1]!.clause, 'type { C }')
  assert.is(found.at(-1)!.kind, 'url')
  assert.is(lineOf(source, found[2]!.offset), 6)
})

test.run()
