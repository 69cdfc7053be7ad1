/** Scenes of uploads: many files, folders, names that are taken, connections that break. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { MiB } from '../../../src/base/units.ts'
import { request } from '../../helpers/http-client.ts'
import type { Visit } from './browser.ts'
import { forwarding } from './forwarding.ts'
import { at, chooser, file, isMissing, make, names, put, read, rowCount, type Stage, there, until } from './stage.ts'

export async function uploads500(stage: Stage): Promise<void> {
  await make(stage, '/home/many')
  await at(stage, 'home/many/', async (page) => {
    const content = (i: number) => `${i} `.repeat(200 + i)
    const files = Array.from({ length: 500 }, (_, i) => file(`file ${i}.txt`, content(i)))
    await chooser(page).setInputFiles(files)
    await page.getByRole('heading', { name: 'Uploading 500 files' }).waitFor()
    await until(async () => {
      const bar = page.locator('.uploads progress')
      const [value, max] = await Promise.all([bar.getAttribute('value'), bar.getAttribute('max')])
      return Number(value) > 0 && Number(value) < Number(max)
    })
    assert.match((await page.locator('.uploads .detail').textContent()) ?? '', /^\d+ of 500 · .* of .*B/)
    await stage.shoot(page, 'uploading')
    await page.getByRole('heading', { name: '500 files uploaded' }).waitFor({ timeout: 180_000 })
    await rowCount(page, 500)
    assert.match((await page.locator('.summary').textContent()) ?? '', /^500 files, /)
    const got = await Promise.all(Array.from({ length: 500 }, (_, i) => read(stage, `/home/many/file%20${i}.txt`)))
    got.forEach((text, i) => assert.is(text, content(i)))
    await stage.shoot(page, 'uploaded')
  })
}

/** A folder of a real disk, dropped by the browser's own means. */
async function drop(page: Page, visited: Visit, paths: readonly string[]): Promise<void> {
  const session = await visited.context.newCDPSession(page)
  const data = { items: [], files: [...paths], dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
    await session.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data })
    if (type === 'dragOver') await page.locator('.drop:visible').waitFor()
  }
}

export async function dropsFolder(stage: Stage): Promise<void> {
  await make(stage, '/home/drop')
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-page-'))
  try {
    mkdirSync(join(dir, 'tree/deep/er'), { recursive: true })
    mkdirSync(join(dir, 'tree/empty'))
    for (let i = 0; i < 120; i++) writeFileSync(join(dir, `tree/f${i}`), `${i}`)
    writeFileSync(join(dir, 'tree/deep/er/größe #1 100%.txt'), 'deep')
    writeFileSync(join(dir, 'single.txt'), 'single')
    await at(stage, 'home/drop/', async (page, visited) => {
      await drop(page, visited, [join(dir, 'tree'), join(dir, 'single.txt')])
      await page.getByRole('heading', { name: '122 files uploaded' }).waitFor()
      await rowCount(page, 2)
      assert.equal(await names(page), ['tree', 'single.txt'])
      assert.is(await read(stage, '/home/drop/tree/deep/er/gr%C3%B6%C3%9Fe%20%231%20100%25.txt'), 'deep')
      assert.is(await read(stage, '/home/drop/tree/f119'), '119')
      assert.is(await read(stage, '/home/drop/single.txt'), 'single')
      assert.is((await request(there(stage), 'GET', '/home/drop/tree/empty/')).status, 200)
    })
  } finally {
    rmSync(dir, { recursive: true })
  }
}

export async function asksAboutConflicts(stage: Stage): Promise<void> {
  await make(stage, '/home/conflict')
  for (const name of ['a.txt', 'b.txt', 'c.txt', 'd.txt']) await put(stage, `/home/conflict/${name}`, 'old')
  const choose = (page: Page, name: string) => page.getByRole('dialog').getByRole('button', { name }).click()
  await at(
    stage,
    'home/conflict/',
    async (page) => {
      const give = (...list: string[]) => chooser(page).setInputFiles(list.map((name) => file(name, 'new')))
      const finished = (text: string) => page.getByRole('heading', { name: text }).waitFor()
      await give('a.txt', 'fresh.txt')
      await page.getByRole('dialog').getByText('a.txt').waitFor()
      await stage.shoot(page, 'conflict')
      await choose(page, 'Keep both')
      await finished('2 files uploaded')
      await give('b.txt')
      await choose(page, 'Replace')
      await finished('1 file uploaded')
      await give('c.txt')
      await choose(page, 'Skip')
      await finished('0 files uploaded, 1 skipped')
      await give('a.txt', 'c.txt', 'd.txt')
      await page.getByRole('checkbox', { name: 'Do the same for all others' }).check()
      await choose(page, 'Replace')
      await finished('3 files uploaded')
    },
    {},
    /412/,
  )
  const expected = {
    'a.txt': 'new',
    'a (2).txt': 'new',
    'b.txt': 'new',
    'c.txt': 'new',
    'd.txt': 'new',
    'fresh.txt': 'new',
  }
  for (const [name, text] of Object.entries(expected)) {
    assert.is(await read(stage, `/home/conflict/${encodeURIComponent(name)}`), text, name)
  }
}

export async function cancelsAndRetries(stage: Stage): Promise<void> {
  await make(stage, '/home/fails')
  await at(
    stage,
    'home/fails/',
    async (page) => {
      // The gateway of this stage locks nothing by itself: the answer is made here.
      await page.route('**/locked.txt', (route) => route.fulfill({ status: 423 }))
      let broken = 2
      await page.route('**/shaky.txt', (route) => (broken-- > 0 ? route.abort() : route.continue()))
      await chooser(page).setInputFiles([file('locked.txt', 'x'), file('shaky.txt', 'x'), file('fine.txt', 'x')])
      await page.getByRole('heading', { name: '2 files uploaded, 1 failed' }).waitFor()
      await page.getByText('It is locked: another program has it open.').waitFor()
      await stage.shoot(page, 'failed')
      await page.unroute('**/locked.txt')
      await page.getByRole('button', { name: 'Retry locked.txt' }).click()
      await page.getByRole('heading', { name: '3 files uploaded' }).waitFor()
      assert.is(await read(stage, '/home/fails/locked.txt'), 'x')
      assert.is(await read(stage, '/home/fails/shaky.txt'), 'x')

      // One that is held up in the middle, and taken back.
      await page.route('**/slow.bin', async (route) => {
        if (route.request().method() !== 'PUT') await route.continue()
      })
      await chooser(page).setInputFiles([file('slow.bin', 'x'.repeat(2_000_000)), file('quick.txt', 'x')])
      await page.getByRole('button', { name: 'Cancel slow.bin' }).click()
      await page.getByRole('heading', { name: '1 file uploaded, 1 cancelled' }).waitFor()
      await isMissing(stage, '/home/fails/slow.bin')
    },
    {},
    /423|ERR_FAILED|404/,
  )
}

/**
 * The connection breaks in the middle of a large file, and another node answers from then on, as when an address moves: what the first one has got is
 * not sent again. Then the very last answer is lost.
 */
export async function goesOn(stage: Stage): Promise<void> {
  await make(stage, '/home/resume')
  const content = Buffer.alloc(40 * MiB)
  for (let at = 0; at < content.length; at += 4) content.writeUInt32LE((at * 2_654_435_761) >>> 0, at)
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-page-'))
  let node = stage.urls[0] as string
  let sent = 0
  let breakAt = 32 * MiB
  let breaks = 1
  let losesAnswer = false
  const proxy = await forwarding({
    target: () => node,
    passes: (asked, bytes) => {
      if (asked.method === 'PATCH') sent += bytes
      if (sent < breakAt) return true
      if (--breaks === 0) breakAt = Number.POSITIVE_INFINITY
      node = there(stage)
      return false
    },
    answers: ({ method }) => !(losesAnswer && method === 'PATCH'),
  })
  try {
    await at(
      { ...stage, urls: [proxy.url, there(stage)] },
      'home/resume/',
      async (page) => {
        const give = async (name: string) => {
          writeFileSync(join(dir, name), content)
          await chooser(page).setInputFiles(join(dir, name))
        }
        await give('large.bin')
        await page.getByText('It goes on in a moment.').waitFor()
        assert.not.match((await page.locator('.uploads .detail').textContent()) ?? '', ' 0 B of ')
        await stage.shoot(page, 'broken')
        await page.getByRole('heading', { name: '1 file uploaded' }).waitFor()
        // what was on its way between the two is lost
        assert.ok(sent >= content.length && sent < content.length + 16 * MiB, `${sent} bytes were sent`)
        losesAnswer = true
        await give('answer.bin')
        await page.getByRole('heading', { name: '1 file uploaded' }).waitFor()

        // one that is taken back leaves nothing
        losesAnswer = false
        sent = 0
        breakAt = 8 * MiB
        breaks = Number.POSITIVE_INFINITY
        const creation = page.waitForResponse((response) => response.request().method() === 'POST')
        await give('never.bin')
        await page.getByText('It goes on in a moment.').waitFor()
        await page.getByRole('button', { name: 'Cancel never.bin' }).click()
        await page.getByRole('heading', { name: '0 files uploaded, 1 cancelled' }).waitFor()
        const upload = (await creation).headers()['location'] as string
        const headers = { 'Tus-Resumable': '1.0.0' }
        await until(async () => (await request(there(stage), 'HEAD', upload, { headers })).status === 404)
      },
      {},
      // 409: the first node had more in its hands when the other was asked
      /ERR_|404|409/,
    )
  } finally {
    await proxy.close()
    rmSync(dir, { recursive: true })
  }
  for (const name of ['large.bin', 'answer.bin']) {
    const { status, body, headers } = await request(there(stage), 'GET', `/home/resume/${name}`)
    assert.is(status, 200)
    assert.ok(body.equals(content), name)
    assert.is(typeof headers['last-modified'], 'string')
  }
  await isMissing(stage, '/home/resume/never.bin')
}
