// time limit: 300 s
/** The dashboard of a real matrix in a real browser: what it shows, that it follows, that everybody can use it, and that nothing of it complains. */
import type { Browser } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { noChromium, openChromium } from '../helpers/chromium.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { assertAccessible, type Visit, visit } from './page/browser.ts'

const LIMIT = { timeout: 30_000 }

type Context = { demo: Demo; browser: Browser }
const test = suite<Context>('dashboard', {} as Context)

test.before(async (c) => {
  c.demo = new Demo({ nodes: 2, lunSize: '256MiB', basePort: await freeBasePort(2), san: 'own' })
  await c.demo.start()
  await fetch(`${c.demo.node('n1').http.url}hello`, { method: 'PUT', body: 'hello' })
  c.browser = await openChromium()
})
test.after(async (c) => {
  await c.browser?.close()
  await c.demo?.dispose()
})

/** A page of node `name`; `complaints` has what the browser finds wrong with it. */
async function open(
  { demo, browser }: Context,
  name: string,
  options: { readonly width?: number; readonly dark?: boolean } = {},
): Promise<Visit> {
  const visited = await visit(browser, demo.node(name).admin!.url, {
    viewport: { width: options.width ?? 1440, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
    // axe is put into the page from outside; what the page itself may do is told by the test of the policy
    bypassCSP: true,
  })
  const { page } = visited
  await page.getByRole('heading', { name: 'Nodes and LUNs' }).waitFor(LIMIT)
  await page.getByRole('button', { name: /n2\s*serving/ }).waitFor(LIMIT)
  await page
    .getByText(/free of/)
    .first()
    .waitFor(LIMIT)
  return visited
}

test('it shows nodes, LUNs, paths, filesystems, locks with paths and the timeline, and the browser finds nothing wrong', async (c) => {
  const { page, complaints } = await open(c, 'n2')
  await page.getByText('all is well').waitFor(LIMIT)
  await page.getByRole('button', { name: /n1\s*admin\s*serving/ }).waitFor(LIMIT)
  const titles = await page.locator('.drawing title').allTextContents()
  for (const node of ['n1', 'n2'])
    for (const lun of ['lun1', 'lun2'])
      assert.is(
        titles.filter((title) => title.startsWith(`${node} to ${lun} by 127.0.0.1:`)).length,
        2,
        `${node} ${lun}`,
      )
  await page.getByRole('region', { name: 'Table of locks' }).getByText('home:/hello').waitFor(LIMIT)
  await page.locator('#timeline').getByText('resume').first().waitFor(LIMIT)
  assert.ok((await page.locator('.plot canvas').count()) === 6, 'six charts')
  await page.locator('#sql').getByRole('button', { name: 'Ask' }).click()
  await page.locator('#sql').getByRole('cell', { name: '/hello' }).waitFor(LIMIT)
  assert.equal(complaints, [])
  await page.context().close()
})

test('R45 a node that dies is shown as gone, its recovery step by step; then it is back, with nothing to reload', async (c) => {
  const { page } = await open(c, 'n1')
  const before = await page.locator('#timeline summary').first().textContent()
  c.demo.kill('n2')
  await page.getByText(/n2 gone; 1 node left/).waitFor(LIMIT)
  await page.getByRole('button', { name: /n2\s*gone/ }).waitFor(LIMIT)
  await page.locator('#timeline').getByText('fence n2').waitFor(LIMIT)
  assert.is.not(await page.locator('#timeline summary').first().textContent(), before)
  await page
    .locator('#events')
    .getByText(/n2 gone/)
    .waitFor(LIMIT)
  await c.demo.startNode('n2')
  await page.getByText('all is well').waitFor(LIMIT)
  await page.context().close()
})

for (const [name, options] of [
  ['light', {}],
  ['dark', { dark: true }],
  ['phone', { width: 390 }],
] as const) {
  test(`everybody can use it (axe): ${name}; nothing is wider than the window`, async (c) => {
    const { page } = await open(c, 'n1', options)
    await assertAccessible(page, name)
    const wide = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
    assert.is(wide, 0)
    await page.context().close()
  })
}

test('by keyboard alone: to the content, a node chosen, its paths alone; colours changed and kept', async (c) => {
  const { page } = await open(c, 'n1')
  await page.keyboard.press('Tab')
  assert.is(await page.evaluate('document.activeElement.textContent'), 'To the content')
  const node = page.getByRole('button', { name: /n2\s*serving/ })
  await node.focus()
  await page.keyboard.press('Enter')
  assert.is(await node.getAttribute('aria-pressed'), 'true')
  assert.ok((await page.locator('.drawing .faded').count()) >= 4, "the other node's paths fade")
  await page.keyboard.press('Space')
  assert.is(await page.locator('.drawing .faded').count(), 0)
  const theme = () => page.evaluate('document.documentElement.dataset.theme')
  assert.is(await theme(), 'light')
  const button = page.getByRole('button', { name: /Colours/ })
  await button.press('Enter')
  await button.press('Enter')
  assert.is(await theme(), 'dark')
  await page.reload()
  await page.getByRole('heading', { name: 'Nodes and LUNs' }).waitFor(LIMIT)
  assert.is(await theme(), 'dark')
  await page.context().close()
})

test('its own policy keeps scripts from elsewhere out', async (c) => {
  const context = await c.browser.newContext()
  const page = await context.newPage()
  await page.goto(c.demo.node('n1').admin!.url)
  await page.getByRole('heading', { name: 'Nodes and LUNs' }).waitFor(LIMIT)
  const ran = await page.evaluate(`new Promise((done) => {
    const script = document.createElement('script')
    script.textContent = 'window.ran = true'
    document.body.append(script)
    setTimeout(() => done(window.ran === true), 100)
  })`)
  assert.is(ran, false)
  await context.close()
})

if (noChromium) process.stdout.write(`skipped: ${noChromium}\n`)
else test.run()
