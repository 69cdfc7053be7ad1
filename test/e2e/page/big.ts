/** A file of 1 GiB through the page and back in an archive, with an eye on the node's memory. Takes a minute, and 3 GiB of disk. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, createReadStream, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { formatSize, GiB, MiB } from '../../../src/base/units.ts'
import { request } from '../../helpers/http-client.ts'
import { visit } from './browser.ts'
import type { Stage } from './stage.ts'

/** What an archive may add to a node's memory, whatever its size: pieces under way and their copies, and what has not been collected yet. */
const MAX_GROWTH = 256 * MiB

/** `pid`: of the node that the archive comes from. */
export async function uploadBig({ browser, urls }: Stage, pid: number, say: (line: string) => void): Promise<void> {
  const [url, other] = [urls[0] as string, urls.at(-1) as string]
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-page-big-'))
  try {
    const path = join(dir, 'big.bin')
    const sum = writeNoise(path, GiB)
    assert.is((await request(other, 'MKCOL', '/home/big')).status, 201)
    const { page, context, complaints } = await visit(browser, `${url}home/big/`)
    let began = performance.now()
    await page.locator('input[data-for="files"]').setInputFiles(path)
    await page.getByText(/of 1\.0 GiB · .*\/s · .* left/).waitFor({ timeout: 60_000 })
    await page.getByRole('heading', { name: '1 file uploaded' }).waitFor({ timeout: 300_000 })
    say(`1 GiB uploaded in ${seconds(began)}`)
    assert.equal(complaints, [])
    await context.close()
    assert.is(await sha256(`${other}home/big/big.bin`, dir), sum, 'the other node has something else')

    const before = residentBytes(pid)
    let most = before
    const timer = setInterval(() => (most = Math.max(most, residentBytes(pid))), 20)
    began = performance.now()
    const archive = join(dir, 'big.zip')
    await run('curl', ['-sf', '-o', archive, `${url}home/big/?zip`])
    clearInterval(timer)
    say(`an archive of 1 GiB in ${seconds(began)}; the node grew by ${formatSize(most - before)} meanwhile`)
    await run('python3', ['-c', 'import sys, zipfile; assert zipfile.ZipFile(sys.argv[1]).testzip() is None', archive])
    assert.ok(most - before < MAX_GROWTH, `the node grew by ${formatSize(most - before)}`)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const seconds = (began: number) => `${((performance.now() - began) / 1000).toFixed(1)} s`

/** Gives the file's SHA-256. */
function writeNoise(path: string, length: number): string {
  const hash = createHash('sha256')
  const piece = Buffer.alloc(MiB)
  for (let i = 0; i < piece.length; i++) piece[i] = (i * i * 31 + (i >> 5)) & 255
  const fd = openSync(path, 'w')
  for (let i = 0; i < length / MiB; i++) {
    piece.writeUInt32LE(i, 0)
    hash.update(piece)
    writeSync(fd, piece)
  }
  closeSync(fd)
  return hash.digest('hex')
}

async function sha256(url: string, dir: string): Promise<string> {
  const path = join(dir, 'read')
  await run('curl', ['-sf', '-o', path, url])
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  rmSync(path)
  return hash.digest('hex')
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

function run(program: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
    child.on('error', reject)
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(`${program} ended with ${code}`))))
  })
}
