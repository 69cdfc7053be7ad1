// time limit: 300 s
/** Jobs in a real browser: the card of the dashboard, and the inside of the queues; nothing of them complains, and everybody can use the card. */
import type { Browser } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { noChromium, openChromium } from '../helpers/chromium.ts'
import { requireProgram } from '../helpers/program.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { assertAccessible, type Visit, visit } from './page/browser.ts'

const LIMIT = { timeout: 30_000 }

type Context = { demo: Demo; browser: Browser }
const test = suite<Context>('jobs in the dashboard', {} as Context)

test.before(async (c) => {
  requireProgram('redis-server', 'redis-server')
  c.demo = new Demo({ nodes: 1, lunSize: '256MiB', basePort: await freeBasePort(1) })
  await c.demo.start()
  const config = ['--config', `${c.demo.dir}/n1.toml`]
  c.demo.matrixCommand('job', 'start', 'fsck', 'filesystem=home', '--wait', ...config)
  c.demo.matrixCommand('job', 'start', 'drain-lun', 'lun=lun9', ...config)
  c.browser = await openChromium()
})
test.after(async (c) => {
  await c.browser?.close()
  await c.demo?.dispose()
})

function open(
  { browser, demo }: Context,
  path: string,
  { width = 1440, dark = false, bypassCSP = false }: { width?: number; dark?: boolean; bypassCSP?: boolean } = {},
): Promise<Visit> {
  const colorScheme = dark ? 'dark' : 'light'
  return visit(browser, `${demo.node('n1').admin!.url}${path}`, {
    viewport: { width, height: 900 },
    colorScheme,
    bypassCSP,
  })
}

test('the card shows what has become of each, and its log; a form is made of the schema of each kind', async (c) => {
  const { page, complaints } = await open(c, '')
  const card = page.locator('#jobs')
  await card.getByRole('row', { name: /Check a filesystem.*completed.*home is sound/ }).waitFor(LIMIT)
  await card.getByRole('row', { name: /Drain a LUN.*failed.*has no LUN lun9; it has lun1, lun2/ }).waitFor(LIMIT)
  await card.getByRole('button', { name: 'Log of Check a filesystem: home' }).click()
  await card.getByText(/^Nothing was told\.$/).waitFor(LIMIT)
  await card.getByRole('button', { name: 'Start a job …' }).click()
  await card.getByRole('combobox', { name: /^Job/ }).selectOption('remove-lun')
  assert.equal(await card.getByRole('combobox', { name: /^LUN/ }).locator('option').allTextContents(), ['lun1', 'lun2'])
  await card.getByRole('combobox', { name: /^Job/ }).selectOption('add-lun')
  assert.ok(await card.getByRole('button', { name: 'Start', exact: true }).isDisabled(), 'it has no URL yet')
  await card.getByLabel('URL of the LUN').fill('file:/srv/lun3.img')
  await card.getByRole('button', { name: 'Start', exact: true }).click()
  await card.getByText(/Really\? It cannot be undone/).waitFor(LIMIT)
  assert.equal(complaints, [])
  await card.getByRole('button', { name: 'Yes, start it' }).click()
  await card.getByRole('row', { name: /add a LUN.*failed/ }).waitFor(LIMIT)
  await page.context().close()
})

for (const [name, options] of [
  ['light', {}],
  ['dark', { dark: true }],
  ['phone', { width: 390 }],
] as const) {
  test(`everybody can use it (axe): ${name}; nothing is wider than the window`, async (c) => {
    const { page } = await open(c, '', { ...options, bypassCSP: true })
    const card = page.locator('#jobs')
    await card.getByRole('button', { name: 'Log of Check a filesystem: home' }).click(LIMIT)
    await card.getByRole('button', { name: 'Start a job …' }).click()
    await assertAccessible(page, name)
    assert.is(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'), 0)
    const shots = process.env['SHOTS']
    if (shots) await card.screenshot({ path: `${shots}/jobs-${name}.png` })
    await page.context().close()
  })
}

test('the inside of the queues is shown under our policy, and can be looked at only', async (c) => {
  const { page, complaints } = await open(c, 'queues/')
  await page.getByText('fsck').first().waitFor(LIMIT)
  const shots = process.env['SHOTS']
  if (shots) await page.screenshot({ path: `${shots}/queues.png` })
  assert.equal(complaints, [])
  const at = `${c.demo.node('n1').admin!.url}queues/`
  const { queues } = (await (await fetch(`${at}api/queues?activeQueue=fsck&page=1`)).json()) as {
    queues: { name: string; readOnlyMode: boolean; counts: { completed: number } }[]
  }
  assert.ok(queues.every(({ readOnlyMode }) => readOnlyMode))
  assert.is(queues.find(({ name }) => name === 'fsck')?.counts.completed, 1)
  for (const [method, path] of [
    ['PUT', 'api/queues/fsck/pause'],
    ['PUT', 'api/queues/fsck/clean/completed'],
    ['POST', 'api/queues/fsck/add'],
  ] as const) {
    const headers = { 'Content-Type': 'application/json' }
    assert.is((await fetch(`${at}${path}`, { method, headers, body: '{}' })).status, 405, path)
  }
  const outside = await fetch(`${at}static/..%2f..%2fpackage.json`)
  assert.match(outside.headers.get('content-type') ?? '', /text\/html/, 'no file but those of the page')
  await page.context().close()
})

if (noChromium) console.log(`skipped: ${noChromium}`)
else test.run()
