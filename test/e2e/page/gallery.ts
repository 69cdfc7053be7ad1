/** Pictures of the page for people to look at: a folder that could be somebody's, hard names, nothing, very much; in light and dark, large and small. */
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { request } from '../../helpers/http-client.ts'
import { visit } from './browser.ts'

const shapes = {
  'light-desktop': { colorScheme: 'light' },
  'dark-desktop': { colorScheme: 'dark' },
  'light-phone': {
    colorScheme: 'light',
    viewport: { width: 390, height: 780 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
  },
  'dark-phone': {
    colorScheme: 'dark',
    viewport: { width: 390, height: 780 },
    deviceScaleFactor: 2,
    hasTouch: true,
    isMobile: true,
  },
} as const

/** 2026-09-21. */
const WHEN_S = 1_790_000_000

async function fill(url: string): Promise<void> {
  const make = async (...paths: readonly string[]) => {
    for (const path of paths) assert.is((await request(url, 'MKCOL', path)).status, 201, path)
  }
  let files = 0
  const put = async (path: string, body: string | Buffer) => {
    const headers = { 'X-OC-Mtime': String(WHEN_S + 20_000 * files++) }
    const { status } = await request(url, 'PUT', `/home/gallery/${path}`, { body, headers })
    assert.is(status, 201, path)
  }
  await make('/home/gallery')
  await make(...['Music', 'Photos', 'Projects', 'Empty', 'Many', 'Names'].map((name) => `/home/gallery/${name}`))
  for (let i = 1; i <= 4; i++) await put(`Photos/IMG_${2040 + i}.png`, picture(i))
  await put('README.md', '# Gallery\n\nWhat belongs to everybody.\n\n- Photos\n- Projects\n- Music\n')
  await put('backup.tar.zst', Buffer.alloc(9_348_211))
  await put('budget%202026.xlsx', Buffer.alloc(48_211))
  await put('concert.flac', Buffer.alloc(3_211_000))
  await put('deploy.sh', '#!/bin/sh\nset -eu\n')
  await put('harbour.mp4', Buffer.alloc(5_000_000))
  await put('inventory.csv', 'id,name,count\n'.repeat(900))
  await put('sunset.png', picture(5))
  await put('talk.pdf', '%PDF-1.4')
  const hard = [
    '<script>alert(1)<-script>',
    `"quotes" & 'apostrophes'.txt`,
    'שלום עולם.txt',
    'file\u202egpj.exe',
    '🌊🏄 emoji.md',
    `${'words '.repeat(30)}.txt`,
    `l${'o'.repeat(220)}ng.txt`,
    'tab\there\nand a line.txt',
  ]
  for (const name of hard) await put(`Names/${encodeURIComponent(name)}`, 'x')
  await put('Names/no-utf8-%FF%FE.txt', 'x')
  for (let i = 0; i < 2000; i += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, j) => put(`Many/file-${i + j}.txt`, 'x'.repeat(i + j))))
  }
}

export async function gallery(browser: Browser, url: string, dir: string): Promise<void> {
  await fill(url)
  for (const [shape, options] of Object.entries(shapes)) {
    const visited = await visit(browser, `${url}home/gallery/`, { reducedMotion: 'reduce', ...options })
    const { page, context, complaints } = visited
    const shoot = (name: string) => page.screenshot({ path: join(dir, `${name}-${shape}.png`) })
    const go = (path: string) => page.goto(url + path)
    const pick = (name: string) => page.getByRole('checkbox', { name: `Select ${name}`, exact: true }).check()
    const open = (name: string) => page.locator('#view tbody .name > a').getByText(name, { exact: true }).click()
    await shoot('folder')
    await pick('backup.tar.zst')
    await pick('deploy.sh')
    await shoot('selected')
    await page.getByRole('toolbar').getByRole('button', { name: 'Delete' }).click()
    await shoot('delete')
    await page.keyboard.press('Escape')
    await page.getByRole('checkbox', { name: 'Select deploy.sh' }).uncheck()
    await page.getByRole('toolbar').getByRole('button', { name: 'Rename' }).click()
    await shoot('rename')
    await page.keyboard.press('Escape')
    await open('README.md')
    await page.locator('.preview pre').waitFor()
    await shoot('text')
    await page.keyboard.press('Escape')
    await go('home/gallery/Photos/')
    await open('IMG_2042.png')
    await loaded(page)
    await shoot('picture')
    for (const [name, path] of [
      ['names', 'home/gallery/Names/'],
      ['empty', 'home/gallery/Empty/'],
      ['many', 'home/gallery/Many/'],
      ['search', 'home/gallery/?search=img'],
      ['nothing', 'home/gallery/?search=nowhere'],
      ['exports', ''],
    ] as const) {
      await go(path)
      await shoot(name)
    }
    assert.equal(complaints, [], shape)
    await context.close()
  }
}

async function loaded(page: Page): Promise<void> {
  await page.locator('.preview img').evaluate('(image) => image.decode()')
}

/** A PNG file with something to look at, 1200 × 800. */
function picture(seed: number): Buffer {
  const [width, height] = [1200, 800]
  const raw = Buffer.alloc((width * 3 + 1) * height)
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * (width * 3 + 1) + 1 + x * 3
      raw[at] = 128 + 100 * Math.sin(x / 170 + seed)
      raw[at + 1] = 110 + 90 * Math.sin(y / 130 + seed * 2)
      raw[at + 2] = 150 + 80 * Math.sin((x + y) / 210)
    }
  }
  const chunk = (type: string, data: Buffer) => {
    const bytes = Buffer.alloc(12 + data.length)
    bytes.writeUInt32BE(data.length, 0)
    bytes.write(type, 4)
    data.copy(bytes, 8)
    bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length)
    return bytes
  }
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2], 8)
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10])
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(raw)),
    chunk('IEND', Buffer.alloc(0)),
  ])
}
