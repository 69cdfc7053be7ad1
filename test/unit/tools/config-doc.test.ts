import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readPage, renewedPage } from '../../../tools/config-doc.ts'

test('docs/configuration.md has every key as the schema has it (renew it with: node tools/config-doc.ts)', () => {
  const page = readPage()
  assert.is(page, renewedPage(page))
})

test.run()
