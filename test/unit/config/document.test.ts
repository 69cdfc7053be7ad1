import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readPage, renewedPage } from '../../../config/document.ts'

test('docs/configuration.md has every key as the schema has it (renew it with: node config/document.ts)', () => {
  const page = readPage()
  assert.is(page, renewedPage(page))
})

test.run()
