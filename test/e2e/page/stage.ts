/** What scenes of the file page have in common: where they play, and what they do with files and with the page. */
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { request } from '../../helpers/http-client.ts'
import { type Visit, visit } from './browser.ts'

export type Stage = {
  readonly browser: Browser
  /** One URL per node, each ending in a slash; the export is `home`, and `frozen` is the same, read-only. */
  readonly urls: readonly string[]
  /** Takes a picture of what is shown, when pictures are wanted. */
  readonly shoot: (page: Page, name: string) => Promise<void>
}

export type Scene = {
  readonly name: string
  readonly play: (stage: Stage) => Promise<void>
  /** Needs the read-only export. */
  readonly needsFrozen?: boolean
}

export const there = ({ urls }: Stage): string => urls.at(-1) as string

export async function put(stage: Stage, path: string, body: string | Buffer): Promise<void> {
  const { status } = await request(there(stage), 'PUT', path, { body })
  assert.ok(status === 201 || status === 204, `PUT ${path}: ${status}`)
}

export async function make(stage: Stage, ...paths: readonly string[]): Promise<void> {
  for (const path of paths) assert.is((await request(there(stage), 'MKCOL', path)).status, 201, path)
}

export async function read(stage: Stage, path: string): Promise<string> {
  const { status, text } = await request(there(stage), 'GET', path)
  assert.is(status, 200, path)
  return text
}

export async function isMissing(stage: Stage, path: string): Promise<void> {
  assert.is((await request(there(stage), 'HEAD', path)).status, 404, path)
}

/** Opens a folder, plays, and holds the page to having had nothing to complain about. */
export async function at(
  stage: Stage,
  path: string,
  play: (page: Page, visited: Visit) => Promise<void>,
  options: Parameters<typeof visit>[2] = {},
  expected?: RegExp,
): Promise<void> {
  const visited = await visit(stage.browser, stage.urls[0] + path, options, expected)
  try {
    await play(visited.page, visited)
    assert.equal(visited.complaints, [])
  } finally {
    await visited.context.close()
  }
}

/** Waits until something holds that no locator can say. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 60_000
  while (!(await holds())) {
    assert.ok(performance.now() < end, `never: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

export const rowCount = (page: Page, count: number) =>
  until(async () => (await page.locator('#view tbody tr').count()) === count)
export const names = (page: Page): Promise<string[]> => page.locator('#view tbody .name > a').allTextContents()
export const link = (page: Page, name: string) => page.locator('#view tbody .name > a').getByText(name, { exact: true })
export const box = (page: Page, name: string) => page.getByRole('checkbox', { name: `Select ${name}`, exact: true })
export const notice = (page: Page) => page.locator('.notice p')
export const file = (name: string, text: string) => ({
  name,
  mimeType: 'application/octet-stream',
  buffer: Buffer.from(text),
})
export const chooser = (page: Page) => page.locator('input[data-for="files"]')
