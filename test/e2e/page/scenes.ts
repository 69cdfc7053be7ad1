/**
 * What people do with the file page, in a real browser against real nodes: the page is at the first node, and what it has done is looked
 * at through the last one. Each scene has a folder of its own.
 */
import { execFileSync } from 'node:child_process'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import * as assert from 'uvu/assert'
import { assertAccessible } from './browser.ts'
import {
  at,
  box,
  chooser,
  file,
  isMissing,
  link,
  make,
  names,
  notice,
  put,
  read,
  rowCount,
  type Scene,
  type Stage,
  there,
  until,
} from './stage.ts'
import { asksAboutConflicts, cancelsAndRetries, dropsFolder, goesOn, uploads500 } from './upload-scenes.ts'

async function renames(stage: Stage): Promise<void> {
  await make(stage, '/home/rename', '/home/rename/folder')
  await put(stage, '/home/rename/one.txt', 'one')
  await put(stage, '/home/rename/taken.txt', 'taken')
  await put(stage, '/home/rename/raw-%FF%FE.txt', 'raw')
  await at(
    stage,
    'home/rename/',
    async (page) => {
      const dialog = page.getByRole('dialog')
      const to = async (from: string, name: string) => {
        await box(page, from).check()
        await page.getByRole('button', { name: 'Rename' }).click()
        await dialog.getByLabel('New name').fill(name)
        await dialog.getByRole('button', { name: 'Rename' }).click()
      }
      await to('one.txt', 'taken.txt')
      await dialog.getByText('Something of that name exists already.').waitFor()
      await dialog.getByLabel('New name').fill('a/b')
      await page.keyboard.press('Enter')
      await dialog.getByText('A name cannot hold a slash.').waitFor()
      await dialog.getByLabel('New name').fill('<b>"ünf" & 100% #?.txt')
      await page.keyboard.press('Enter')
      await link(page, '<b>"ünf" & 100% #?.txt').waitFor()
      await box(page, '<b>"ünf" & 100% #?.txt').uncheck({ force: true })
      await to('raw-\ufffd\ufffd.txt', 'readable.txt')
      await link(page, 'readable.txt').waitFor()
      await box(page, 'readable.txt').uncheck()
      await to('folder', 'directory')
      await link(page, 'directory').waitFor()
    },
    {},
    /412/,
  )
  assert.is(await read(stage, `/home/rename/${encodeURIComponent('<b>"ünf" & 100% #?.txt')}`), 'one')
  assert.is(await read(stage, '/home/rename/taken.txt'), 'taken')
  assert.is(await read(stage, '/home/rename/readable.txt'), 'raw')
  await isMissing(stage, '/home/rename/one.txt')
  await isMissing(stage, '/home/rename/folder/')
}

async function deletes(stage: Stage): Promise<void> {
  await make(stage, '/home/delete', '/home/delete/tree', '/home/delete/tree/sub')
  for (const name of ['tree/f', 'tree/sub/f', 'a', 'b', 'stays']) await put(stage, `/home/delete/${name}`, name)
  await at(stage, 'home/delete/', async (page) => {
    for (const name of ['tree', 'a', 'b']) await box(page, name).check()
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    assert.is((await names(page)).length, 4)
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByText('Folders go with everything in them.').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await notice(page).getByText('3 items were deleted.').waitFor()
    assert.equal(await names(page), ['stays'])
    assert.not.ok(await page.getByRole('toolbar').isVisible())
  })
  await isMissing(stage, '/home/delete/tree/')
  await isMissing(stage, '/home/delete/a')
  assert.is(await read(stage, '/home/delete/stays'), 'stays')
}

async function makesFolders(stage: Stage): Promise<void> {
  await make(stage, '/home/make')
  await at(
    stage,
    'home/make/',
    async (page) => {
      const fill = async (name: string) => {
        await page.getByRole('button', { name: 'New folder' }).click()
        await page.getByRole('dialog').getByLabel('Name').fill(name)
        await page.keyboard.press('Enter')
      }
      await page.getByText('This folder is empty.').waitFor()
      await fill('🌊 new')
      await link(page, '🌊 new').waitFor()
      await fill('🌊 new')
      await page.getByText('Something of that name exists already.').waitFor()
      await page.keyboard.press('Escape')
      await link(page, '🌊 new').click()
      await page.getByRole('heading', { name: '🌊 new' }).waitFor()
      await page.getByRole('link', { name: 'make' }).click()
      await page.getByRole('heading', { name: 'make' }).waitFor()
    },
    {},
    /405/,
  )
}

async function searches(stage: Stage): Promise<void> {
  await make(stage, '/home/search', '/home/search/deep', '/home/search/deep/er', '/home/search/Needle%20folder')
  for (const name of ['needle.txt', 'deep/er/my NEEDLE.md', 'deep/hay', 'haystack'])
    await put(stage, `/home/search/${name.replaceAll(' ', '%20')}`, name)
  await at(stage, 'home/search/', async (page) => {
    await page.keyboard.press('/')
    await page.keyboard.type('needle')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Names with “needle”' }).waitFor()
    assert.equal((await names(page)).sort(), ['Needle folder', 'my NEEDLE.md', 'needle.txt'])
    assert.match((await page.locator('.summary').textContent()) ?? '', /^3 results\. 7 names were looked at\.$/)
    await link(page, 'my NEEDLE.md').click()
    await page.getByRole('dialog').getByText('deep/er/my NEEDLE.md').waitFor()
    await page.keyboard.press('Escape')
    // What was found can be changed where it is.
    await box(page, 'my NEEDLE.md').check()
    await page.getByRole('button', { name: 'Rename' }).click()
    await page.getByRole('dialog').getByLabel('New name').fill('my needle 2.md')
    await page.keyboard.press('Enter')
    await link(page, 'my needle 2.md').waitFor()
    await page.getByRole('link', { name: 'deep/er' }).click()
    await page.getByRole('heading', { name: 'er' }).waitFor()
    assert.equal(await names(page), ['my needle 2.md'])
  })
}

const verify = `
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    print(json.dumps({info.filename: None if info.is_dir() else archive.read(info).decode() for info in archive.infolist()}))
`

async function zipOf(page: Page, click: () => Promise<void>): Promise<Record<string, string | null>> {
  const [download] = await Promise.all([page.waitForEvent('download'), click()])
  const path = await download.path()
  const text = execFileSync('python3', ['-c', verify, path], { encoding: 'utf8' })
  return JSON.parse(text) as Record<string, string | null>
}

async function zips(stage: Stage): Promise<void> {
  await make(stage, '/home/zip', '/home/zip/sub', '/home/zip/empty')
  for (const name of ['a.txt', 'b.txt', 'sub/ü.txt']) await put(stage, `/home/zip/${encodeURI(name)}`, name)
  await at(stage, 'home/zip/', async (page) => {
    const whole = await zipOf(page, () => page.locator('.actions').getByRole('link', { name: 'Download' }).click())
    const all = {
      'zip/': null,
      'zip/a.txt': 'a.txt',
      'zip/b.txt': 'b.txt',
      'zip/sub/': null,
      'zip/sub/ü.txt': 'sub/ü.txt',
    }
    assert.equal(whole, { ...all, 'zip/empty/': null })
    await box(page, 'sub').check()
    await box(page, 'b.txt').check()
    const some = await zipOf(page, () => page.getByRole('toolbar').getByRole('button', { name: 'Download' }).click())
    assert.equal(some, { 'zip/': null, 'zip/b.txt': 'b.txt', 'zip/sub/': null, 'zip/sub/ü.txt': 'sub/ü.txt' })
    const folder = await zipOf(page, () => page.getByRole('link', { name: 'Download sub' }).click())
    assert.equal(folder, { 'sub/': null, 'sub/ü.txt': 'sub/ü.txt' })
  })
}

async function previews(stage: Stage): Promise<void> {
  await make(stage, '/home/preview')
  await put(stage, '/home/preview/a.txt', 'first')
  await put(
    stage,
    '/home/preview/b.html',
    '<script>document.title = "owned"; fetch("/home/preview/a.txt", { method: "DELETE" })</script><b>bold</b>',
  )
  await put(stage, '/home/preview/c.log', 'x'.repeat(300_000))
  await put(
    stage,
    '/home/preview/d.svg',
    '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="60"><rect width="80" height="60" fill="teal"/><script>top.location = "/"</script></svg>',
  )
  await put(stage, '/home/preview/e.txt', '')
  await put(stage, '/home/preview/f.txt', Buffer.from([1, 0, 2]))
  await at(stage, 'home/preview/', async (page) => {
    const pre = page.locator('.preview pre')
    await link(page, 'a.txt').click()
    await pre.getByText('first').waitFor()
    await page.keyboard.press('ArrowRight')
    // Shown as text, whatever it is.
    await pre.getByText('<b>bold</b>').waitFor()
    await page.keyboard.press('ArrowRight')
    await page.getByText('These are the first 256.0 KiB of 293.0 KiB.').waitFor()
    await page.getByRole('button', { name: 'Next' }).click()
    await until(async () => (await page.locator('.preview img').boundingBox())?.width === 80)
    await page.keyboard.press('ArrowRight')
    await until(async () => (await pre.textContent()) === '')
    await page.keyboard.press('ArrowRight')
    await page.getByText('This is no text.').waitFor()
    await page.keyboard.press('Escape')
    await until(async () => (await page.locator(':focus').textContent()) === 'f.txt')
  })
}

/** Opened by itself, a file of a user can do nothing in the name of whoever opens it. */
async function filesActNot(stage: Stage): Promise<void> {
  await make(stage, '/home/hostile')
  const attack = (type: string) =>
    `<script>document.title = "owned"; fetch("/home/hostile/victim", { method: "DELETE" })</script>${type}`
  await put(stage, '/home/hostile/victim', 'alive')
  await put(
    stage,
    '/home/hostile/page.html',
    `<title>calm</title>${attack('html')}<img src=x onerror="document.title='owned'">`,
  )
  await put(stage, '/home/hostile/pic.svg', `<svg xmlns="http://www.w3.org/2000/svg">${attack('')}</svg>`)
  await put(stage, `/home/hostile/${encodeURIComponent('"><img src=x onerror=document.title=1>.txt')}`, 'x')
  await put(
    stage,
    `/home/hostile/${encodeURIComponent('</script><script>document.title=1</script>')}`.replaceAll('%2F', '-'),
    'x',
  )
  const blocked = /sandboxed|frame is sandboxed|404|Content Security Policy/
  for (const name of ['page.html', 'pic.svg']) {
    await at(
      stage,
      `home/hostile/${name}`,
      async (page) => {
        await page.waitForTimeout(200)
        assert.is.not(await page.title(), 'owned')
      },
      {},
      blocked,
    )
  }
  await at(stage, 'home/hostile/', async (page) => {
    assert.is(await page.title(), 'hostile')
    assert.ok((await names(page)).includes('"><img src=x onerror=document.title=1>.txt'))
    assert.is(await page.locator('#view img').count(), 0)
  })
  assert.is(await read(stage, '/home/hostile/victim'), 'alive')
}

async function worksByKeyboard(stage: Stage): Promise<void> {
  await make(stage, '/home/keys')
  for (const name of ['a', 'b', 'c', 'd']) await put(stage, `/home/keys/${name}`, name)
  await at(stage, 'home/keys/', async (page) => {
    const press = async (...keys: string[]) => {
      for (const key of keys) await page.keyboard.press(key)
    }
    const focused = () => page.locator(':focus').textContent()
    await press('ArrowDown', 'ArrowDown', 'Space')
    assert.is(await focused(), 'b')
    await press('F2')
    await page.getByRole('dialog').getByLabel('New name').fill('bb')
    await press('Enter')
    await link(page, 'bb').waitFor()
    await press('Escape', 'ArrowDown', 'Space', 'Delete')
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).focus()
    await press('Enter')
    await rowCount(page, 3)
    await press('Control+a')
    assert.is(await page.getByRole('toolbar').locator('output').textContent(), '3 selected')
    await press('Escape', '?')
    await page.getByRole('heading', { name: 'Keys', level: 2 }).waitFor()
    await stage.shoot(page, 'keys')
    await press('Escape', 'Alt+ArrowUp')
    await page.getByRole('heading', { name: 'home' }).waitFor()
  })
}

async function worksWithoutScript(stage: Stage): Promise<void> {
  await make(stage, '/home/plain', '/home/plain/sub')
  await put(stage, '/home/plain/small.txt', 'x')
  await put(stage, '/home/plain/large.txt', 'x'.repeat(5000))
  await at(
    stage,
    'home/plain/',
    async (page) => {
      assert.equal(await names(page), ['sub', 'large.txt', 'small.txt'])
      assert.is(await page.getByRole('button', { name: 'Upload' }).count(), 0)
      await page.getByRole('link', { name: 'Size' }).click()
      assert.equal(await names(page), ['sub', 'small.txt', 'large.txt'])
      await box(page, 'small.txt').check()
      const some = await zipOf(page, () => page.getByRole('button', { name: 'Download selected' }).click())
      assert.equal(Object.keys(some), ['plain/', 'plain/small.txt'])
      await page.getByRole('searchbox').fill('LARGE')
      await page.keyboard.press('Enter')
      await page.waitForURL('**/?search=LARGE')
      assert.equal(await names(page), ['large.txt'])
      await stage.shoot(page, 'without-script')
      await link(page, 'large.txt').click()
      await page.waitForURL('**/large.txt')
    },
    { javaScriptEnabled: false },
  )
}

async function showsOnlyWhatIsAllowed(stage: Stage): Promise<void> {
  await make(stage, '/home/readonly')
  await put(stage, '/home/readonly/a', 'a')
  await at(stage, 'frozen/readonly/', async (page, visited) => {
    await page.getByText('Read-only').waitFor()
    for (const name of ['Upload', 'New folder']) assert.is(await page.getByRole('button', { name }).count(), 0)
    await box(page, 'a').check()
    assert.is(await page.getByRole('button', { name: 'Delete' }).count(), 0)
    assert.is(await page.getByRole('button', { name: 'Rename' }).count(), 0)
    await page.keyboard.press('Delete')
    assert.is(await page.getByRole('dialog').count(), 0)
    const session = await visited.context.newCDPSession(page)
    const data = { items: [], files: ['/etc/hostname'], dragOperationsMask: 1 }
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
      await session.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data })
    assert.not.ok(await page.locator('.drop').isVisible())
    assert.not.ok(await page.locator('.uploads').isVisible())
  })
}

/** A proxy that lets nothing through without the password: scripts, styles, fetches, uploads and archives must all carry it. */
async function worksWithBasic(stage: Stage): Promise<void> {
  await make(stage, '/home/basic')
  await put(stage, '/home/basic/a.txt', 'text')
  const { hostname, port } = new URL(stage.urls[0] as string)
  const wanted = `Basic ${Buffer.from('ada:löve').toString('base64')}`
  const proxy = createServer((asked, answer) => {
    if (asked.headers.authorization !== wanted) {
      asked.resume()
      answer.writeHead(401, { 'WWW-Authenticate': 'Basic realm="matrixfs", charset="UTF-8"' }).end()
      return
    }
    const { method, url, headers } = asked
    const onward = httpRequest({ hostname, port, method, path: url, headers }, (answered) => {
      answer.writeHead(answered.statusCode as number, answered.headers)
      answered.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    asked.pipe(onward)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const guarded = { ...stage, urls: [`http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`, there(stage)] }
  try {
    await at(
      guarded,
      'home/basic/',
      async (page) => {
        await chooser(page).setInputFiles([file('b.txt', 'b'), file('large.bin', 'x'.repeat(9_000_000))])
        await page.getByRole('heading', { name: '2 files uploaded' }).waitFor()
        await rowCount(page, 3)
        await link(page, 'a.txt').click()
        await page.locator('.preview pre').getByText('text').waitFor()
        await page.keyboard.press('Escape')
        await box(page, 'b.txt').check()
        await page.getByRole('button', { name: 'Delete' }).click()
        await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
        await rowCount(page, 2)
      },
      { httpCredentials: { username: 'ada', password: 'löve' } },
    )
  } finally {
    proxy.closeAllConnections()
    await new Promise((resolve) => proxy.close(resolve))
  }
  await isMissing(stage, '/home/basic/b.txt')
}

async function isAccessible(stage: Stage): Promise<void> {
  await make(stage, '/home/access', '/home/access/empty', '/home/access/folder')
  for (const name of ['a.txt', 'b.png', 'c.zip', 'd.mp4', 'e.flac', 'f.pdf', 'g.sh'])
    await put(stage, `/home/access/${name}`, 'text')
  const phone = { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true }
  for (const shape of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { colorScheme: 'dark', ...phone }] as const) {
    // What is still fading in has no contrast yet.
    const options = { ...shape, reducedMotion: 'reduce' } as const
    const name = (what: string) => `${what}, ${JSON.stringify(options)}`
    await at(
      stage,
      'home/access/',
      async (page) => {
        await assertAccessible(page, name('a folder'))
        await box(page, 'a.txt').check()
        await assertAccessible(page, name('a selection'))
        await page.getByRole('button', { name: 'Delete' }).click()
        await assertAccessible(page, name('a question'))
        await page.keyboard.press('Escape')
        await link(page, 'a.txt').click()
        await page.locator('.preview pre').waitFor()
        await assertAccessible(page, name('a preview'))
        await page.keyboard.press('Escape')
        await chooser(page).setInputFiles([file('a.txt', 'x')])
        await page.getByRole('dialog').getByRole('button', { name: 'Skip' }).click()
        await page.getByRole('heading', { name: '0 files uploaded, 1 skipped' }).waitFor()
        await assertAccessible(page, name('uploads'))
        // The rest differs on a phone by nothing that has not been seen.
        if ('isMobile' in shape) return
        for (const [what, path] of [
          ['an empty folder', 'home/access/empty/'],
          ['results', 'home/access/?search=a'],
          ['no results', 'home/access/?search=zzz'],
          ['exports', ''],
          ['a missing folder', 'home/access/none/'],
        ] as const) {
          await page.goto(stage.urls[0] + path)
          await assertAccessible(page, name(what))
        }
      },
      options,
      /412|404/,
    )
  }
}

export const scenes: readonly Scene[] = [
  { name: '500 files are uploaded, with progress, and are there at another node', play: uploads500 },
  { name: 'a folder is dropped with all that is in it', play: dropsFolder },
  { name: 'a name that is taken is asked about: keep both, replace, skip', play: asksAboutConflicts },
  { name: 'an upload that fails says why and is tried again; one can be cancelled', play: cancelsAndRetries },
  { name: 'a large upload goes on where it broke off, at another node', play: goesOn },
  { name: 'files and folders are renamed, names of any bytes included', play: renames },
  { name: 'several things are deleted at once, after a question', play: deletes },
  { name: 'folders are made and walked through', play: makesFolders },
  { name: 'names are searched below a folder', play: searches },
  { name: 'folders and selections are downloaded as archives', play: zips },
  { name: 'pictures and text are shown, and only the beginning of a long text', play: previews },
  { name: 'files of users and their names run no script', play: filesActNot },
  { name: 'everything can be done by keyboard', play: worksByKeyboard },
  { name: 'without JavaScript: browse, sort, search, download', play: worksWithoutScript },
  {
    name: 'a read-only export offers nothing that it would refuse',
    play: showsOnlyWhatIsAllowed,
    needsFrozen: true,
  },
  { name: 'behind Basic authentication everything is asked for with the credentials', play: worksWithBasic },
  { name: 'axe finds nothing, in light and dark, on a desktop and on a phone', play: isAccessible },
]
