/**
 * `npm run e2e:san [-- --san tgt,own,files]`: everything that is tried from outside on one coherent filesystem, part after part, with its LUNs at Debian's tgt, at
 * the target of this project, or in files. A table says how long each part took and what came of it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { markdownTable } from '../helpers/markdown-table.ts'
import { scriptOptions, wrong } from '../helpers/script-options.ts'
import { noTgt } from '../helpers/tgt.ts'
import { command } from './cluster/commands.ts'
import { lackingPrograms, type NeededProgram, treePrograms, workoutPrograms } from './programs.ts'

const root = new URL('../..', import.meta.url).pathname
const kinds = ['tgt', 'own', 'files'] as const
type Kind = (typeof kinds)[number]

type Part = {
  readonly name: string
  readonly what: string
  /** For Node, and for a quick run. */
  readonly args: readonly string[]
  readonly quick: readonly string[]
  readonly programs: readonly NeededProgram[]
}

function script(
  name: string,
  what: string,
  args: readonly string[],
  quick: readonly string[],
  programs: readonly NeededProgram[] = [],
): Part {
  const path = `test/e2e/${name}`
  const short = name.replace(/(\/main)?\.ts$/, '')
  return { name: short, what, args: [path, ...args], quick: [path, ...quick], programs }
}

/** A file of tests. */
function tests(file: string, what: string): Part {
  const args = ['test/run.ts', '--jobs', '1', '--time-limit', '600', `test/${file}.test.ts`]
  return { name: file.replace(/^.*\//, ''), what, args, quick: args, programs: [] }
}

const protocols = ['--protocols', 'nfs,http,mount', '--kill']

const parts: readonly Part[] = [
  tests('e2e/demo', 'the demo and its contract'),
  tests('e2e/http-programs', 'litmus and rclone'),
  tests('e2e/mount', 'the local mount'),
  tests('conformance/posix/posix', 'POSIX at one mount, and across two'),
  tests('e2e/lun-change', 'LUNs added and removed while nodes serve'),
  tests('e2e/lun-life', 'a filesystem grows, and leaves a LUN'),
  tests('e2e/halt', 'a node that gives up'),
  script(
    'checker/main.ts',
    'do all answers fit one order?',
    ['--seconds', '60', ...protocols],
    ['--seconds', '10', ...protocols],
  ),
  script('rounds.ts', 'written at one node, read at every other', ['--rounds', '10000'], ['--rounds', '500']),
  script('kill.ts', 'SIGKILL under load, again and again, then all at once', ['--kills', '20'], ['--kills', '2']),
  script(
    'workout.ts',
    'ordinary programs on mounts of two nodes',
    ['--seconds', '30'],
    ['--seconds', '5'],
    workoutPrograms,
  ),
  script(
    'tree.ts',
    'real files in and out by rclone and libnfs',
    ['--files', '10000'],
    ['--files', '500'],
    treePrograms,
  ),
]

/** Whatever hangs is ended, and has failed, ms. */
const LIMIT_MS = 60 * 60_000

const usage = `Everything that is tried from outside on one coherent filesystem, part after part, on LUNs of one kind.
  --san LIST    of ${kinds.join(',')} (tgt,own): Debian's tgt, the target of matrix demo --san, files
  --only LIST   only these parts
  --quick       each part as short as it gets
  --save        the table into bench/results/e2e-san-DATE-COMMIT.md
  --help        this text
Parts: what each says goes into var/e2e-san/KIND-PART.log; the mounts need root and /dev/fuse.
${parts.map(({ name, what }) => `  ${name.padEnd(14)}${what}`).join('\n')}`

type Outcome = { readonly seconds: number; readonly verdict: string; readonly isGood: boolean }

if (import.meta.main) await main()

async function main(): Promise<void> {
  const { san, only, quick, save } = options()
  mkdirSync(join(root, 'var/e2e-san'), { recursive: true })
  const outcomes = new Map<string, Outcome>()
  for (const kind of san)
    for (const part of only) {
      process.stdout.write(`${kind.padEnd(6)}${part.name.padEnd(14)}`)
      const outcome = await play(part, kind, quick)
      outcomes.set(`${kind} ${part.name}`, outcome)
      console.log(`${outcome.seconds.toFixed(0).padStart(5)} s  ${outcome.verdict}`)
    }
  const table = markdownTable(
    ['part', 'what', ...san],
    only.map(({ name, what }) => [
      name,
      what,
      ...san.map((kind) => {
        const { verdict, seconds } = outcomes.get(`${kind} ${name}`) as Outcome
        return `${verdict}, ${seconds.toFixed(0)} s`
      }),
    ]),
  )
  const bad = [...outcomes.values()].filter(({ isGood }) => !isGood).length
  const note = `${outcomes.size - bad} of ${outcomes.size} passed. ${availableParallelism()} processors, load ${loadavg()[0]?.toFixed(1)}.`
  console.log(`\n${table}\n\n${note}`)
  if (save) write(table, note)
  process.exit(bad === 0 ? 0 : 1)
}

function play({ name, args, quick }: Part, kind: Kind, isQuick: boolean): Promise<Outcome> {
  const path = join(root, `var/e2e-san/${kind}-${name}.log`)
  const log = createWriteStream(path)
  const { MATRIXFS_SAN: _, ...env } = process.env
  const began = performance.now()
  // a group of its own: whatever a part leaves behind when it is ended goes with it
  const child = spawn(process.execPath, isQuick ? quick : args, {
    ...{ cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
    env: kind === 'files' ? env : { ...env, MATRIXFS_SAN: kind },
  }) as ChildProcess
  let isLate = false
  const end = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  const limit = setTimeout(() => {
    isLate = true
    end()
  }, LIMIT_MS)
  const stop = (): void => {
    end()
    process.exit(130)
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  child.stdout?.pipe(log, { end: false })
  child.stderr?.pipe(log, { end: false })
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(limit)
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      const seconds = (performance.now() - began) / 1000
      log.end(() => {
        const said = readFileSync(path, 'utf8')
        const skipped = /^(\d+) skipped$/m.exec(said)?.[1]
        const isGood = code === 0
        if (!isGood) console.log(`\n${said.trimEnd().split('\n').slice(-30).join('\n')}\n  (${path})`)
        const good = skipped ? `passed, ${skipped} skipped` : 'passed'
        resolve({ seconds, isGood, verdict: isGood ? good : `FAILED (${isLate ? 'no end' : (code ?? signal)})` })
      })
    })
  })
}

function options(): { san: readonly Kind[]; only: readonly Part[]; quick: boolean; save: boolean } {
  const values = scriptOptions(
    {
      san: { type: 'string', default: 'tgt,own' },
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
    },
    usage,
  )
  const san = values.san
    .split(',')
    .map((word) => kinds.find((kind) => kind === word) ?? wrong(`--san ${word}: of ${kinds.join(', ')}`))
  const wanted = values.only?.split(',')
  const unknown = wanted?.find((word) => !parts.some(({ name }) => name === word))
  if (unknown !== undefined) wrong(`--only ${unknown}: of ${parts.map(({ name }) => name).join(', ')}`)
  const only = parts.filter(({ name }) => wanted?.includes(name) ?? true)
  const lacking = (san.includes('tgt') ? noTgt() : undefined) ?? lackingPrograms(only.flatMap((part) => part.programs))
  if (lacking) wrong(lacking)
  return {
    san,
    only,
    quick: values.quick,
    save: values.save,
  }
}

function write(table: string, note: string): void {
  const commit = command('git', '-C', root, 'rev-parse', '--short', 'HEAD').trim()
  const name = `e2e-san-${new Date().toISOString().slice(0, 10)}-${commit}`
  let file = join(root, `bench/results/${name}.md`)
  for (let again = 2; existsSync(file); again++) file = join(root, `bench/results/${name}-${again}.md`)
  mkdirSync(join(root, 'bench/results'), { recursive: true })
  const call = `npm run e2e:san -- ${process.argv.slice(2).join(' ')}`
  writeFileSync(
    file,
    `# End to end on LUNs of each kind, ${name.slice(8)}\n\n\`${call.trim()}\`\n\n${table}\n\n${note}\n`,
  )
  console.log(`saved in ${file}`)
}
