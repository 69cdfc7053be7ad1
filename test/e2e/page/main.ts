/** `npm run e2e:page`: the file page in Debian's Chromium over a demo of three nodes. `--help` has the options. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Page } from 'playwright-core'
import { noChromium, openChromium } from '../../helpers/chromium.ts'
import { request } from '../../helpers/http-client.ts'
import { Demo } from '../demo.ts'
import { uploadBig } from './big.ts'
import { gallery } from './gallery.ts'
import { scenes } from './scenes.ts'

const HELP = `usage: npm run e2e:page -- [options]

Plays what people do with the file page, in a real browser at n1 of a demo; what it has done is read at n3.

  --only TEXT        only scenes with that in their name
  --big              a file of 1 GiB as well, up and back in an archive
  --shots DIR        pictures of the page, in light and dark, on a desktop and on a phone
  --base-port N      ports of the demo (default 24000)
`

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    big: { type: 'boolean', default: false },
    shots: { type: 'string' },
    'base-port': { type: 'string', default: '24000' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(HELP)
  process.exit(0)
}
const lacking = noChromium
if (lacking) {
  process.stderr.write(`${lacking}\n`)
  process.exit(2)
}
const { shots } = values
if (shots !== undefined) mkdirSync(shots, { recursive: true })
const say = (line: string) => void process.stdout.write(`${line}\n`)

const demo = new Demo({ basePort: Number(values['base-port']) })
await demo.start()
const browser = await openChromium()
let failed = 0
try {
  const urls = demo.matrix.nodes.map(({ http }) => new URL('/', http.url).href)
  const shoot = async (page: Page, name: string): Promise<void> => {
    if (shots !== undefined) await page.screenshot({ path: join(shots, `scene-${name}.png`) })
  }
  const stage = { browser, urls, shoot }
  const frozen = (await request(urls[0] as string, 'GET', '/frozen/')).status === 200
  const play = async (name: string, run: () => Promise<void>): Promise<void> => {
    if (!name.includes(values.only)) return
    const began = performance.now()
    try {
      await run()
      say(`ok    ${name}  ${((performance.now() - began) / 1000).toFixed(1)} s`)
    } catch (error) {
      failed++
      const { stack, details = '' } = error as Error & { details?: string }
      say(`FAIL  ${name}\n${stack}\n${details}`)
    }
  }
  for (const scene of scenes) {
    if (scene.needsFrozen && !frozen) say(`skip  ${scene.name}: the demo has no read-only export`)
    else await play(scene.name, () => scene.play(stage))
  }
  if (values.big) await play('1 GiB', () => uploadBig(stage, demo.matrix.nodes[0]?.pid as number, say))
  if (shots !== undefined) await play('gallery of pictures', () => gallery(browser, urls[0] as string, shots))
} finally {
  await browser.close()
  await demo.stop()
}
process.exitCode = failed > 0 ? 1 : 0
