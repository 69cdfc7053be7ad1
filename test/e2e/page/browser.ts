/** A visit to a page: what it says that it should not, and whether everybody can use it. */
import { createRequire } from 'node:module'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import * as assert from 'uvu/assert'

const axeSource = createRequire(import.meta.url).resolve('axe-core/axe.min.js')

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
