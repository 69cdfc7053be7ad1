/**
 * `npm run e2e:workout`: ordinary programs on the local mounts of two nodes at once, our POSIX cases on both and across, rsync both ways,
 * and the same programs in a real Linux kernel that mounts each node by NFS. Then the filesystem must be sound.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { needPrograms, workoutPrograms } from './programs.ts'

const KERNEL_CLIENT = 'MATRIXFS_KERNEL_CLIENT'
const root = new URL('../..', import.meta.url).pathname
const script = join(import.meta.dirname, 'workout.sh')
const posix = join(root, 'test/conformance/posix/main.ts')
/** The kernel client's own time limit, s: its kernel forks slowly. */
const GUEST_LIMIT_S = 900

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    source: { type: 'string', default: join(root, 'src') },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})

const steps = ['mounts', 'rsync', 'posix', 'nfs'] as const

if (values.help) {
  console.log(`npm run e2e:workout -- [options]      (as root, with /dev/fuse)

  --seconds N       how long stress-ng runs each time (30)
  --source DIR      the source tree that goes in and out (src)
  --only A,B        only these steps: ${steps.join(', ')}

${KERNEL_CLIENT}=PROGRAM names a program that boots a Linux kernel, mounts --nfs-port P --mount-port P --export E there and runs
-c COMMANDS with $MNT; without it the step nfs is left out, and says so.`)
} else await main()

async function main(): Promise<void> {
  needPrograms(workoutPrograms)
  const wanted = (step: (typeof steps)[number]) => !values.only || values.only.split(',').includes(step)
  const demo = new Demo({ nodes: 2, basePort: await freeBasePort(2), mount: true })
  try {
    await demo.start()
    const [n1, n2] = [demo.node('n1'), demo.node('n2')]
    const [one, two] = [n1.mount as string, n2.mount as string]
    const { source, seconds } = values
    if (wanted('mounts')) {
      await Promise.all([
        run('n1', 'bash', [script, source, one, seconds]),
        run('n2', 'bash', [script, source, two, seconds]),
      ])
    }
    if (wanted('rsync')) await rsyncBothWays(source, one, two)
    if (wanted('posix')) await run('posix', process.execPath, [posix, one, two])
    if (wanted('nfs')) await overNfs([n1, n2], source, seconds)
    console.log(demo.check().trim())
    console.log('all was right')
  } finally {
    await demo.dispose()
  }
}

/** A tree with hard and symbolic links goes from disk to n1, from n1 to n2, and back; rsync then finds nothing to do. */
async function rsyncBothWays(source: string, one: string, two: string): Promise<void> {
  await run('rsync', 'bash', [
    '-c',
    `set -euo pipefail
      aside=$(mktemp -d); trap 'rm -rf "$aside"' EXIT
      mkdir "$aside/from"; cp -a "$1" "$aside/from/tree"; cd "$aside/from/tree"
      i=0; for f in $(find . -type f | head -200); do ln "$f" "../hard$i"; ln -s "$f" "../soft$i"; i=$((i+1)); done; cd /
      rsync -aH "$aside/from/" "$2/there/"
      rsync -aH "$2/there/" "$3/back/"
      rsync -aH "$3/back/" "$aside/back/"
      for pair in "$aside/from/ $3/there/" "$2/back/ $aside/from/" "$aside/from/ $aside/back/"; do
        left=$(rsync -aHni --delete --checksum $pair); [ -z "$left" ] || { echo "rsync finds in $pair: $left"; exit 1; }
      done
      rm -rf "$2/there" "$3/back"`,
    'rsync',
    source,
    one,
    two,
  ])
}

async function overNfs(
  nodes: readonly { readonly name: string; readonly nfs: { readonly port: number; readonly export: string } }[],
  source: string,
  seconds: string,
): Promise<void> {
  const client = process.env[KERNEL_CLIENT]
  if (client === undefined) {
    console.log(`nfs: left out; ${KERNEL_CLIENT} names the program that boots a kernel and mounts (--help says more)`)
    return
  }
  if (!existsSync(client)) throw new Error(`${KERNEL_CLIENT}=${client}: there is no such program`)
  for (const { name, nfs } of nodes) {
    const { port } = nfs
    const where = ['--nfs-port', `${port}`, '--mount-port', `${port}`, '--export', nfs.export]
    const what = `bash '${script}' '${source}' "$MNT" ${seconds}`
    await run(`nfs ${name}`, client, [...where, '--timeout', `${GUEST_LIMIT_S}`, '-c', what])
  }
}

/** Rejects when it fails; every line of its output is shown behind `label`. */
function run(label: string, command: string, args: readonly string[]): Promise<void> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    const show = (chunk: Buffer) => {
      for (const line of chunk.toString().split(/[\n\r]+/)) if (line.trim()) console.log(`${label}: ${line}`)
    }
    child.stdout.on('data', show)
    child.stderr.on('data', show)
    child.on('error', reject)
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`${label}: ${command} ended with ${code}`))
      console.log(`${label}: done in ${((performance.now() - began) / 1000).toFixed(0)} s`)
      resolve()
    })
  })
}
