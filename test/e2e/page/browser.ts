/** Debian's Chromium, driven through playwright-core; no browser is ever downloaded. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import * as assert from 'uvu/assert'

const CHROMIUM = process.env['MATRIXFS_CHROMIUM'] ?? '/usr/bin/chromium'
const axeSource = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

/** Why there can be no browser here; undefined when there can. */
export function lacksBrowser(): string | undefined {
  if (existsSync(CHROMIUM)) return undefined
  return `${CHROMIUM} is missing (apt-get install chromium; MATRIXFS_CHROMIUM names another)`
}

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/** Whatever a page says that it should not: errors and warnings on its console, exceptions, dialogs that a script has opened. */
export type Complaints = string[]

export type Visit = { readonly page: Page; readonly context: BrowserContext; readonly complaints: Complaints }

/** A page of a window of its own. `expected`: what its console may say, since the scene brings it about. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
  expected?: RegExp,
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(60_000)
  const complaints: Complaints = []
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return
    if (!expected?.test(message.text())) complaints.push(`${message.text()} (${message.location().url})`)
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`)
    void dialog.dismiss()
  })
  await page.goto(url)
  return { page, context, complaints }
}

type Violation = {
  readonly id: string
  readonly impact: string
  readonly nodes: readonly { readonly target: unknown; readonly failureSummary: string }[]
}

/** Holds what the page shows now to the rules of WCAG 2.2 A and AA and to best practice, as far as axe can tell. */
export async function assertAccessible(page: Page, what: string): Promise<void> {
  // Through the protocol of the browser's developers, since the page's own policy lets no foreign script run.
  await page.evaluate(await readSource())
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } }
    return (await axe.run()).violations.map(({ id, impact, nodes }) => ({
      id,
      impact,
      nodes: nodes.map(({ target, failureSummary }) => ({ target, failureSummary })),
    }))
  })
  assert.equal(violations, [], `${what}: ${JSON.stringify(violations, null, 1)}`)
}

let source: string | undefined
async function readSource(): Promise<string> {
  const { readFile } = await import('node:fs/promises')
  source ??= await readFile(axeSource, 'utf8')
  return source
}
