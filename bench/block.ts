/**
 * `node bench/block.ts`: 4 KiB reads and writes at random places of a block device by the `block:` driver, beside fio in turns, at the same
 * depths. Without --device a loop device on a sparse file is made in --dir (needs root). What is on the device is overwritten.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Prng } from '../src/base/prng.ts'
import { GiB, KiB, MiB } from '../src/base/units.ts'
import { takeAligned } from '../src/platform/real/aligned-memory.ts'
import { realHost } from '../src/platform/real/host.ts'
import { type Lun, openLun } from '../src/san/index.ts'
import { median } from './handover.ts'

const help = `node bench/block.ts [options]

  --dir DIR         where the file of the loop device goes (default /var/tmp)
  --device PATH     this device instead: its content is lost
  --sector N        of the loop device: 512 or 4096 (default 512)
  --seconds S       of one measurement (default 3)
  --runs N          turns (default 3); medians are shown
  --help

Set UV_THREADPOOL_SIZE to try the driver with more threads.`

const { values } = parseArgs({
  options: {
    dir: { type: 'string', default: '/var/tmp' },
    device: { type: 'string' },
    sector: { type: 'string', default: '512' },
    seconds: { type: 'string', default: '3' },
    runs: { type: 'string', default: '3' },
    help: { type: 'boolean', default: false },
  },
})

/** Of the device that is used, bytes. */
const SPAN = 256 * MiB
const BLOCK = 4 * KiB

type Case = { readonly name: string; readonly depth: number; readonly fio: string; readonly op: Operation }
type Operation = 'read' | 'read aligned' | 'write' | 'durable write'

const cases: readonly Case[] = [1, 32].flatMap((depth) => [
  { name: `read, depth ${depth}`, depth, fio: '--rw=randread', op: 'read' as const },
  { name: `read into aligned memory, depth ${depth}`, depth, fio: '--rw=randread', op: 'read aligned' as const },
  { name: `write, depth ${depth}`, depth, fio: '--rw=randwrite', op: 'write' as const },
  { name: `durable write, depth ${depth}`, depth, fio: '--rw=randwrite --fdatasync=1', op: 'durable write' as const },
])

async function ours(lun: Lun, { depth, op }: Case, seconds: number): Promise<number> {
  const prng = new Prng(1)
  const until = performance.now() + seconds * 1000
  let done = 0
  const worker = async (): Promise<void> => {
    const buffer = op === 'read aligned' ? takeAligned(BLOCK) : Buffer.alloc(BLOCK, 1)
    while (performance.now() < until) {
      const offset = prng.below(SPAN / BLOCK) * BLOCK
      if (op === 'read' || op === 'read aligned') await lun.read(offset, buffer)
      else await lun.write(offset, [buffer], { purpose: 'data', durable: op === 'durable write' })
      done++
    }
  }
  await Promise.all(Array.from({ length: depth }, worker))
  return done / seconds
}

/** Operations per second; undefined when it is not installed. */
function fio(path: string, { depth, fio: how }: Case, seconds: number): number | undefined {
  const options = [
    ...['--name=bench', `--filename=${path}`, '--direct=1', `--bs=${BLOCK}`, `--size=${SPAN}`, '--time_based'],
    ...[`--runtime=${seconds}`, '--ioengine=libaio', `--iodepth=${depth}`, '--output-format=json', ...how.split(' ')],
  ]
  try {
    const { jobs } = JSON.parse(execFileSync('fio', options, { encoding: 'utf8' }))
    return jobs[0].read.iops + jobs[0].write.iops
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function measure(path: string): Promise<void> {
  const seconds = Number(values.seconds)
  const lun = await openLun(`block:${path}`, realHost)
  for (let offset = 0; offset < SPAN; offset += MiB)
    await lun.write(offset, [Buffer.alloc(MiB, 1)], { purpose: 'data' })
  await lun.flush()
  // whoever comes first shall not pay for caches of the host that lie beneath
  for (let offset = 0; offset < SPAN; offset += MiB) await lun.read(offset, Buffer.alloc(MiB))
  console.log(`${lun.identity}, UV_THREADPOOL_SIZE ${process.env['UV_THREADPOOL_SIZE'] ?? '4 (default)'}\n`)
  console.log('| 4 KiB at random places | block: | fio libaio | ratio |\n|---|---|---|---|')
  for (const each of cases) {
    const own: number[] = []
    const theirs: number[] = []
    for (let run = 0; run < Number(values.runs); run++) {
      own.push(await ours(lun, each, seconds))
      const rate = fio(path, each, seconds)
      if (rate !== undefined) theirs.push(rate)
    }
    const peer = theirs.length > 0 ? median(theirs) : undefined
    const shown = peer === undefined ? 'not installed | ' : `${peer.toFixed(0)}/s | ${(median(own) / peer).toFixed(2)}`
    console.log(`| ${each.name} | ${median(own).toFixed(0)}/s | ${shown} |`)
  }
  await lun.close()
}

if (values.help) console.log(help)
else if (values.device) await measure(values.device)
else {
  const file = join(values.dir, `matrixfs-bench-${process.pid}.img`)
  writeFileSync(file, '')
  truncateSync(file, GiB)
  const options = ['--find', '--show', '--direct-io=on', `--sector-size=${values.sector}`, file]
  const path = execFileSync('losetup', options, { encoding: 'utf8' }).trim()
  try {
    await measure(path)
  } finally {
    execFileSync('losetup', ['--detach', path])
    if (existsSync(file)) rmSync(file)
  }
}
