/**
 * `npm run bench -- san`: the iSCSI initiator beside libiscsi's on one LUN of one target (tgt), in turns: `iscsi-perf`, which can only read, and
 * `qemu-img bench` with its libiscsi driver. `iscsi-perf` forgets what it has read, and so reads everything into memory that its processor has at hand:
 * beside it the initiator reads once in the same way, into one buffer for all, and once, as beside `qemu-img`, with a buffer for each request, as whoever wants the
 * data has to. Everybody goes through the LUN from its start to its end and over again, with 32 requests under way. The target keeps the LUN in memory
 * (/dev/shm), so that what is measured is the way to it and not a disk; it has one thread per LUN.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { KiB, MiB } from '../src/base/units.ts'
import { realHost } from '../src/platform/real/host.ts'
import { type Lun, openLun } from '../src/san/index.ts'
import { noTgt, Tgt } from '../test/helpers/tgt.ts'
import { median } from './handover.ts'
import { commit, machine, save } from './results.ts'

const help = `npm run bench -- san [options]

  --runs N          turns of every row (default 5); medians are shown
  --seconds S       length of one (default 3)
  --no-save         leave bench/results/ alone

Needs Debian's tgt, libiscsi-bin (iscsi-perf), qemu-utils and qemu-block-extra (qemu-img).`

const DEPTH = 32
const LUN_BYTES = 256 * MiB
/** About as fast as a libiscsi gets, requests/s: how many it is asked for at a time. */
const GUESS = { [4 * KiB]: 40_000, [256 * KiB]: 4_000 } as const

type Kind = 'read' | 'write'
type Size = keyof typeof GUESS
/** Requests per second. */
type Sample = { readonly ours: number; readonly peers: readonly number[]; readonly ourCpuUs: number }

type Peer = { readonly program: string; run(url: string, kind: Kind, size: Size, seconds: number): number }
const qemu: Peer = { program: 'qemu-img bench', run: qemuBench }
const perf: Peer = { program: 'iscsi-perf', run: iscsiPerf }

/** A way to use the LUN, and who else is measured at it. */
type Row = {
  readonly kind: Kind
  readonly size: Size
  readonly buffers: 'one each' | 'one for all'
  readonly peers: readonly Peer[]
}
const rowsOf = (size: Size): readonly Row[] => [
  { kind: 'read', size, buffers: 'one for all', peers: [perf] },
  { kind: 'read', size, buffers: 'one each', peers: [perf, qemu] },
  { kind: 'write', size, buffers: 'one each', peers: [qemu] },
]

export async function benchSan(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      'no-save': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(`${help}\n`)
  const lacking = [noTgt(), lacks('iscsi-perf', 'libiscsi-bin'), lacks('qemu-img', 'qemu-utils qemu-block-extra')]
  const missing = lacking.filter((each) => each !== undefined)
  if (missing.length > 0) throw new Error(missing.join('; '))
  const [runs, seconds] = [Number(values.runs), Number(values.seconds)]
  const target = new Tgt({ luns: 1, lunBytes: LUN_BYTES, dir: existsSync('/dev/shm') ? '/dev/shm' : undefined })
  await target.start()
  try {
    const lun = await openLun(target.url(1), realHost)
    await fill(lun)
    const rows = [...rowsOf(4 * KiB), ...rowsOf(256 * KiB)].map((row) => ({ ...row, samples: [] as Sample[] }))
    for (let run = 0; run < runs; run++) {
      for (const row of rows) {
        const { kind, size, buffers } = row
        process.stderr.write(`  ${kind} ${size / KiB} KiB, buffers: ${buffers}, run ${run + 1} of ${runs}\n`)
        const { rate, cpuUs } = await ours(lun, row, seconds)
        const peers = row.peers.map((peer) => peer.run(target.url(1), kind, size, seconds))
        row.samples.push({ ours: rate, peers, ourCpuUs: cpuUs })
      }
    }
    await lun.close()
    const lines = [
      `matrixfs ${commit()}, ${new Date().toISOString().slice(0, 10)}: iSCSI initiators on one LUN of tgt in memory, ${DEPTH} requests under way`,
      `${machine()}; medians of ${runs} runs of ${seconds} s`,
      '',
      '| | our buffers | matrixfs requests/s (MB/s) | CPU µs/request | peer | peer requests/s (MB/s) | times |',
      '|---|---|---|---|---|---|---|',
    ]
    for (const { kind, size, buffers, peers, samples } of rows) {
      const of = (pick: (sample: Sample) => number) => median(samples.map(pick))
      const own = of((each) => each.ours)
      const show = (rate: number) => `${rate.toFixed(0)} (${((rate * size) / 1e6).toFixed(0)})`
      const cpu = of((each) => each.ourCpuUs).toFixed(1)
      peers.forEach(({ program }, index) => {
        const peer = (each: Sample) => each.peers[index] as number
        const times = of((each) => each.ours / peer(each)).toFixed(2)
        const name = `${kind} ${size / KiB} KiB | ${buffers}`
        lines.push(`| ${name} | ${show(own)} | ${cpu} | ${program} | ${show(of(peer))} | ${times} |`)
      })
    }
    const text = `${lines.join('\n')}\n`
    process.stdout.write(text)
    if (!values['no-save']) process.stderr.write(`kept in ${save('san-', text, rows)}\n`)
  } finally {
    await target.dispose()
  }
}

function lacks(program: string, packages: string): string | undefined {
  if (spawnSync('which', [program]).status === 0) return undefined
  return `${program} is missing: apt-get install ${packages}`
}

/** A hole in a file would be read faster than data. */
async function fill(lun: Lun): Promise<void> {
  const content = Buffer.alloc(16 * MiB, 'what is written here is of no meaning ')
  for (let at = 0; at < LUN_BYTES; at += content.length) await lun.write(at, [content], { purpose: 'data' })
}

async function ours(lun: Lun, { kind, size, buffers }: Row, seconds: number): Promise<{ rate: number; cpuUs: number }> {
  const shared = buffers === 'one for all' ? Buffer.alloc(size) : undefined
  let [next, done] = [0, 0]
  const [startedAt, cpuBefore] = [performance.now(), process.cpuUsage()]
  const end = startedAt + seconds * 1000
  const loop = async (): Promise<void> => {
    const buffer = shared ?? Buffer.alloc(size, 'x')
    while (performance.now() < end) {
      const at = next
      next = (next + size) % LUN_BYTES
      if (kind === 'read') await lun.read(at, buffer)
      else await lun.write(at, [buffer], { purpose: 'data' })
      done++
    }
  }
  await Promise.all(Array.from({ length: DEPTH }, loop))
  const { user, system } = process.cpuUsage(cpuBefore)
  return { rate: (done * 1000) / (performance.now() - startedAt), cpuUs: (user + system) / done }
}

function iscsiPerf(url: string, _kind: Kind, size: Size, seconds: number): number {
  const args = ['-m', String(DEPTH), '-b', String(size / 512), '-t', String(seconds), url]
  const { stdout, stderr } = spawnSync('iscsi-perf', args, { encoding: 'utf8', timeout: (seconds + 30) * 1000 })
  const averages = [...stdout.matchAll(/iops average (\d+)/g)]
  if (averages.length === 0) throw new Error(`iscsi-perf: ${stderr || stdout}`)
  return Number(averages.at(-1)?.[1])
}

function qemuBench(url: string, kind: Kind, size: Size, seconds: number): number {
  const count = GUESS[size] * seconds
  const how = `bench -f raw -t none -c ${count} -d ${DEPTH} -s ${size}`.split(' ')
  const args = [...how, ...(kind === 'write' ? ['-w'] : []), url]
  const { stdout, stderr } = spawnSync('qemu-img', args, { encoding: 'utf8' })
  const took = /completed in ([\d.]+) seconds/.exec(stdout)?.[1]
  if (took === undefined) throw new Error(`qemu-img bench: ${stderr || stdout}`)
  return count / Number(took)
}
