/**
 * `npm run e2e:dashboard`: Debian's Chromium walks through the dashboard of a matrix of three nodes under load, as an administrator would (walk.ts); then it looks at all of it in light and dark, on a
 * phone and on a wall, and at the page where one logs in. The browser's console says nothing, and axe finds nothing.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Browser } from 'playwright-core'
import * as assert from 'uvu/assert'
import { noChromium, openChromium } from '../../helpers/chromium.ts'
import { requireProgram } from '../../helpers/program.ts'
import { scriptOptions, wrong } from '../../helpers/script-options.ts'
import { Demo } from '../demo.ts'
import { freeBasePort } from '../free-ports.ts'
import { assertAccessible, visit } from '../page/browser.ts'
import { GuardedNode } from './guarded-node.ts'
import { Load } from './load.ts'
import { steps } from './walk.ts'

const LIMIT = { timeout: 60_000 }

const values = scriptOptions(
  { shots: { type: 'string' }, only: { type: 'string' } },
  `usage: npm run e2e:dashboard -- [options]

  --shots DIR    keep pictures of every step there, for people to look at
  --only WORDS   only steps with these words in their names`,
)
if (noChromium) wrong(noChromium)
requireProgram('redis-server', 'redis-server')
if (values.shots) mkdirSync(values.shots, { recursive: true })

const shapes = {
  light: { width: 1440, height: 900, colorScheme: 'light' },
  dark: { width: 1440, height: 900, colorScheme: 'dark' },
  phone: { width: 390, height: 844, colorScheme: 'light' },
  'phone-dark': { width: 390, height: 844, colorScheme: 'dark' },
  wall: { width: 3840, height: 2160, colorScheme: 'dark' },
} as const
type Shape = (typeof shapes)[keyof typeof shapes]

const dir = mkdtempSync(join(tmpdir(), 'matrixfs-e2e-dashboard-'))
const demo = new Demo({ nodes: 3, dir: join(dir, 'demo'), lunSize: '512MiB', basePort: await freeBasePort(3) })
const load = new Load(demo)
let browser: Browser | undefined
let guarded: GuardedNode | undefined
try {
  await demo.start()
  browser = await openChromium()
  await load.begin()
  await walk(browser)
  for (const [name, shape] of Object.entries(shapes))
    await look(browser, demo.node('n2').admin?.url as string, name, shape)
  await load.end()
  assert.equal(load.failures, [])
  console.log(`      ${load.requests} requests of clients meanwhile, none of them failed`)
  demo.kill('n3')
  guarded = await GuardedNode.start(demo, 'n3', dir)
  await logIn(browser, guarded)
} finally {
  await load.end()
  await browser?.close()
  await guarded?.stop()
  await demo.dispose()
  rmSync(dir, { recursive: true, force: true })
}

async function walk(chromium: Browser): Promise<void> {
  const { page, complaints } = await visit(chromium, demo.node('n1').admin?.url as string, {
    viewport: { width: 1440, height: 900 },
    colorScheme: 'light',
  })
  let number = 0
  for (const [name, step] of Object.entries(steps)) {
    if (values.only && !name.includes(values.only)) continue
    const began = performance.now()
    await step({
      ...{ demo, page },
      async shot(what, part) {
        if (!values.shots) return
        const path = resolve(values.shots, `${String(++number).padStart(2, '0')}-${what}.png`)
        await (part ?? page).screenshot({ path, ...(part ? {} : { fullPage: true }) })
      },
    })
    assert.equal(complaints, [], name)
    console.log(`ok    ${name}  ${((performance.now() - began) / 1000).toFixed(1)} s`)
  }
  await page.context().close()
}

/** Everything that there is to see, as somebody with that screen sees it. */
async function look(chromium: Browser, url: string, name: string, shape: Shape): Promise<void> {
  const { width, height, colorScheme } = shape
  const { page, complaints } = await visit(chromium, url, { viewport: { width, height }, colorScheme, bypassCSP: true })
  await page.getByRole('heading', { name: 'Nodes and LUNs' }).waitFor(LIMIT)
  await page.locator('#jobs table').waitFor(LIMIT)
  await page.locator('.plot canvas').first().waitFor(LIMIT)
  await page
    .locator('#jobs')
    .getByRole('button', { name: /^Log of/ })
    .first()
    .click()
  await page.locator('#jobs').getByRole('button', { name: 'Start a job …' }).click()
  await assertAccessible(page, name)
  assert.is(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'), 0, name)
  assert.equal(complaints, [], name)
  await page.evaluate('scrollTo(0, 0)') // the head of the page goes with it
  if (values.shots) await page.screenshot({ path: resolve(values.shots, `look-${name}.png`), fullPage: true })
  await page.context().close()
  console.log(`ok    axe, and nothing is wider than the window: ${name}`)
}

/** Where one has to: wrong first, then as a viewer, who is offered nothing to do; with the card of virtual hosts and services. */
async function logIn(chromium: Browser, node: GuardedNode): Promise<void> {
  for (const [name, shape] of [
    ['light', shapes.light],
    ['phone-dark', shapes['phone-dark']],
  ] as const) {
    const { width, height, colorScheme } = shape
    const expected = /401|403/ // the browser tells of each answer that refuses
    const options = { viewport: { width, height }, colorScheme, bypassCSP: true }
    const { page, complaints } = await visit(chromium, node.url, options, expected)
    await page.getByRole('button', { name: 'Log in' }).waitFor(LIMIT)
    await assertAccessible(page, `log in, ${name}`)
    const logs = async (user: string, password: string) => {
      await page.getByLabel('Name').fill(user)
      await page.getByLabel('Password').fill(password)
      await page.getByRole('button', { name: 'Log in' }).click()
    }
    await logs('vera', 'wrong')
    await page.getByRole('alert').waitFor(LIMIT)
    if (values.shots) await page.screenshot({ path: resolve(values.shots, `login-${name}.png`) })
    await assertAccessible(page, `refused, ${name}`)
    await logs('vera', node.password)
    await page.getByText('vera, viewer').waitFor(LIMIT)
    await page.locator('#services').getByText('files').first().waitFor(LIMIT)
    assert.is(await page.getByRole('button', { name: 'Start a job …' }).count(), 0, 'a viewer may not act')
    await assertAccessible(page, `a viewer, ${name}`)
    if (values.shots)
      await page.locator('#services').screenshot({ path: resolve(values.shots, `services-${name}.png`) })
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('button', { name: 'Log in' }).waitFor(LIMIT)
    assert.equal(complaints, [], name)
    await page.context().close()
    console.log(`ok    logging in, and what a viewer sees: ${name}`)
  }
}
