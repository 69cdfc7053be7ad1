/** What an administrator does at the dashboard, step by step, in a real browser; `shot` keeps a picture of what there is to see. */
import { existsSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import type { Demo } from '../demo.ts'
import { FOUGHT } from './load.ts'

const LIMIT = { timeout: 60_000 }

export type Walk = {
  readonly demo: Demo
  readonly page: Page
  readonly shot: (name: string, part?: Locator) => Promise<void>
}

/** In this order: each leaves the matrix as the next one finds it. */
export const steps: Readonly<Record<string, (walk: Walk) => Promise<void>>> = {
  async 'nodes, LUNs and paths, and what goes over them'({ page, shot }) {
    await page.getByText('all is well').waitFor(LIMIT)
    for (const node of ['n1', 'n2', 'n3'])
      await page.getByRole('button', { name: new RegExp(`${node}\\s.*serving`) }).waitFor(LIMIT)
    const titles = await page.locator('.drawing title').allTextContents()
    for (const lun of ['lun1', 'lun2'])
      assert.ok(
        titles.some((title) => title.startsWith(`n1 to ${lun}`)),
        lun,
      )
    await page.locator('.plot canvas').nth(5).waitFor(LIMIT)
    await shot('topology')
  },

  async 'the path that two nodes fight over'({ page, shot }) {
    const table = page.getByRole('region', { name: 'Table of locks' })
    const row = table.getByRole('row').filter({ hasText: `home:/${FOUGHT}` })
    await row.first().waitFor(LIMIT)
    await row.first().locator('meter').waitFor(LIMIT)
    assert.match((await row.first().textContent()) ?? '', /n[12] (EX|PR)|nobody/)
    await shot('locks', page.locator('#locks'))
  },

  async 'a node is killed: the timeline is lit, shows its steps, and comes to rest'({ demo, page, shot }) {
    const timeline = page.locator('#timeline')
    await timeline.getByText('at rest').waitFor(LIMIT)
    demo.kill('n3')
    await timeline.locator('.running').waitFor(LIMIT)
    await shot('timeline-lit', timeline)
    await timeline.getByText('fence n3').waitFor(LIMIT)
    await timeline.getByText('at rest').waitFor(LIMIT)
    await page.getByText(/n3 gone; 2 nodes left/).waitFor(LIMIT)
    const [view] = await timeline.locator('summary').allTextContents()
    assert.match(view ?? '', /View \d+[\s\S]*\d/)
    await shot('timeline-done', timeline)
    await demo.startNode('n3')
    await page.getByText('all is well').waitFor(LIMIT)
  },

  async 'a check of the filesystem is started, and its progress seen'({ page, shot }) {
    const card = page.locator('#jobs')
    await start(card, 'fsck', {})
    const row = card.getByRole('row', { name: /Check a filesystem/ }).first()
    await row.getByRole('progressbar').waitFor(LIMIT)
    await shot('job-under-way', card)
    await row.getByText(/home is sound: \d+ inodes/).waitFor(LIMIT)
    await card.getByRole('button', { name: 'Log of Check a filesystem: home' }).first().click()
    await shot('job-done', card)
  },

  async 'a LUN is formatted and added, the filesystem grows onto it, it is drained and removed'({ demo, page, shot }) {
    const card = page.locator('#jobs')
    const path = join(demo.dir, 'lun3.img')
    assert.not(existsSync(path))
    writeFileSync(path, '')
    truncateSync(path, 256 * 1024 * 1024)
    await start(card, 'add-lun', { 'URL of the LUN': `file:${path}`, Name: 'lun3' })
    await done(card, /Format and add a LUN/, /lun3/)
    await start(card, 'grow-filesystem', { Filesystem: 'home', 'LUN that it gets': 'lun3' })
    await done(card, /Grow a filesystem/, /is on LUN lun3, too/)
    await page
      .locator('.drawing title')
      .filter({ hasText: 'n1 to lun3: up' })
      .first()
      .waitFor({ ...LIMIT, state: 'attached' })
    await shot('lun-added')
    await start(card, 'drain-lun', { LUN: 'lun3' })
    await done(card, /Drain a LUN/, /lun3/)
    await start(card, 'remove-lun', { LUN: 'lun3' })
    await done(card, /Remove a LUN/, /lun3/)
    await shot('lun-removed', card)
  },

  async 'a fence drill'({ demo, page, shot }) {
    const card = page.locator('#jobs')
    await start(card, 'fence-drill', { Node: 'n3' })
    const row = card.getByRole('row', { name: /Fence drill/ }).first()
    await row.getByText(/waits until n3 is back/).waitFor(LIMIT)
    await shot('fence-drill', card)
    await demo.startNode('n3')
    await row.getByText(/n3 was fenced by \S+, taken over and back within/).waitFor(LIMIT)
    await page.getByText('all is well').waitFor(LIMIT)
    await shot('fence-drill-done', card)
  },
}

/** By the form: `fields` by the beginning of their labels, whether they are chosen or written. */
async function start(card: Locator, kind: string, fields: Readonly<Record<string, string>>): Promise<void> {
  await card.getByRole('button', { name: 'Start a job …' }).click(LIMIT)
  const form = card.getByRole('group', { name: 'Start a job' })
  await form.getByRole('combobox', { name: /^Job/ }).selectOption(kind)
  for (const [label, value] of Object.entries(fields)) {
    const name = new RegExp(`^${label}`)
    const choice = form.getByRole('combobox', { name })
    if ((await choice.count()) > 0) await choice.selectOption(value)
    else await form.getByRole('textbox', { name }).fill(value)
  }
  await form.getByRole('button', { name: 'Start', exact: true }).click()
  const sure = form.getByRole('button', { name: 'Yes, start it' })
  if (await sure.isVisible()) await sure.click()
  await form.waitFor({ state: 'detached' })
}

async function done(card: Locator, title: RegExp, what: RegExp): Promise<void> {
  const row = card.getByRole('row', { name: title }).first()
  await row.getByText('completed').waitFor(LIMIT)
  assert.match((await row.textContent()) ?? '', what)
}
