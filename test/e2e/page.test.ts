/** The file page in a real browser (Debian's Chromium) over a real matrix of two nodes. `npm run e2e:page` does more of it. */
// time limit: 400 s
import type { Browser } from 'playwright-core'
import { suite } from 'uvu'
import { noChromium, openChromium } from '../helpers/chromium.ts'
import { type HttpMatrix, makeHttpMatrix } from '../helpers/http-matrix.ts'
import { scenes } from './page/scenes.ts'

const lacking = noChromium
if (lacking) console.log(`skipped, since ${lacking}`)
const test = suite('file page')
const run = lacking ? test.skip : test
let matrix: HttpMatrix
let browser: Browser

test.before(async () => {
  if (lacking) return
  matrix = await makeHttpMatrix({ nodes: 2 })
  browser = await openChromium()
})
test.after(async () => {
  await browser?.close()
  await matrix?.close()
})

for (const { name, play } of scenes) {
  run(name, () => play({ browser, urls: matrix.urls, shoot: async () => undefined }))
}

test.run()
