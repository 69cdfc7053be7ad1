/**
 * Runs the tests: every `*.test.ts` under `test/`, one process per file, a few at a time, each with a time limit.
 *
 * uvu's own runner puts all files into one process, waits for ever on an open handle and is content when no file
 * matches; it also hides a `before` hook that throws. Here each of these is a failure that names the file.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const HELP = `usage: npm test -- [options] [path ...]

Runs test/**/*.test.ts, or those whose path contains one of the given texts.

  --list             name the files with their time limits, run nothing
  --root DIR         the tree that holds test/ (default: this one)
  --jobs N           files at a time (default 2)
  --time-limit S     seconds a file may take (default 120); a comment "// time limit: 300 s"
                     among its first ten lines goes before this
  --san tgt          where a test runs the demo, its LUNs are at an iSCSI target (tgt)
  --verbose          print the output of files that pass, too
  --help             this text
`

interface TestFile {
  path: string
  /** As printed and as filters see it: relative to the root, with slashes. */
  name: string
  limit: number
}

interface Outcome {
  file: TestFile
  passed: number
  failed: number
  skipped: number
  seconds: number
  output: string
  /** What was wrong with the file as such, beyond failed tests. */
  problems: string[]
}

/** How long a file's output may stay open after its process has ended. */
const DRAIN_MS = 1000
const TAIL_LINES = 15

const running = new Set<ChildProcess>()

function findTests(root: string, defaultLimit: number): TestFile[] {
  const found: TestFile[] = []
  const visit = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) {
        if (entry.name !== 'node_modules') visit(path)
      } else if (entry.name.endsWith('.test.ts')) {
        found.push({ path, name: relative(root, path).split(sep).join('/'), limit: timeLimit(path) ?? defaultLimit })
      }
    }
  }
  try {
    visit(join(root, 'test'))
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ENOENT') throw err
  }
  // The files that may take longest start first, so that the end of the run is not one long file alone.
  return found.sort((a, b) => b.limit - a.limit || (a.name < b.name ? -1 : 1))
}

function timeLimit(path: string): number | undefined {
  const head = readFileSync(path, 'utf8').split('\n', 10)
  for (const line of head) {
    const match = /^\/\/ time limit: (\d+) s\s*$/.exec(line)
    if (match) return Number(match[1])
  }
  return undefined
}

/** Kills whatever is left of a test file's process group. True if there was anything. */
function killGroup(child: ChildProcess): boolean {
  if (child.pid === undefined) return false
  try {
    process.kill(-child.pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}

function run(file: TestFile, root: string): Promise<Outcome> {
  return new Promise((done) => {
    const started = performance.now()
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), '--child', file.path], {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: process.env,
    })
    running.add(child)
    let output = ''
    let current = ''
    let timedOut = false
    let settled = false
    const collect = (text: string): void => {
      output += text
    }
    child.stdout!.setEncoding('utf8').on('data', collect)
    child.stderr!.setEncoding('utf8').on('data', collect)
    ;(child.stdio[3] as NodeJS.ReadableStream).setEncoding('utf8').on('data', (text: string) => {
      const names = (current + text).split('\0')
      // Complete names end in NUL; the last complete one is the test that runs now.
      current = names.length > 1 ? `${names[names.length - 2]}\0${names[names.length - 1]}` : names[0]!
    })

    const timer = setTimeout(() => {
      timedOut = true
      killGroup(child)
    }, file.limit * 1000)

    const settle = (code: number | null, signal: string | null): void => {
      if (settled) return
      settled = true
      running.delete(child)
      const seconds = (performance.now() - started) / 1000
      done(judge({ file, output, seconds, code, signal, timedOut, current: current.split('\0')[0]! }))
    }
    child.on('error', (err) => {
      clearTimeout(timer)
      output += `${err.message}\n`
      settle(null, null)
    })
    child.on('exit', (code, signal) => {
      clearTimeout(timer)
      if (killGroup(child) && !timedOut) output += '\n(processes that the file had left behind were killed)\n'
      // A descendant outside the group may hold the pipes open; do not wait for it.
      const drain = setTimeout(() => settle(code, signal), DRAIN_MS)
      child.on('close', () => {
        clearTimeout(drain)
        settle(code, signal)
      })
    })
  })
}

interface Ended {
  file: TestFile
  output: string
  seconds: number
  code: number | null
  signal: string | null
  timedOut: boolean
  /** The test that had begun last. */
  current: string
}

function judge({ file, output, seconds, code, signal, timedOut, current }: Ended): Outcome {
  const counts = summary(output)
  const problems: string[] = []
  const inTest = current ? `, in the test "${current}"` : ''
  const failed = counts ? counts.total - counts.passed : 0
  if (timedOut) {
    const state = counts
      ? '; its tests had ended, so something is still open: a socket, a timer, a worker'
      : inTest || ', before its first test'
    problems.push(`still running after ${file.limit} s${state}`)
  } else if (signal) {
    problems.push(`killed by ${signal}${inTest}`)
  } else if (!counts) {
    problems.push(
      code === 0
        ? 'reported no tests: is `test.run()` missing?'
        : `ended with code ${code} before its tests had ended${inTest}`,
    )
  } else if (counts.total === 0) {
    problems.push('has no tests that run')
  } else if (code !== 0 && failed === 0) {
    problems.push(`all its tests passed, but it ended with code ${code}`)
  } else if (code === 0 && failed > 0) {
    problems.push('some tests did not run: a `before` hook threw')
  }
  return {
    file,
    passed: counts?.passed ?? 0,
    failed: failed || (problems.length > 0 ? 1 : 0),
    skipped: counts?.skipped ?? 0,
    seconds,
    output,
    problems,
  }
}

/** uvu's last lines. A test may print another run's summary; the file's own comes last. */
function summary(output: string): { total: number; passed: number; skipped: number } | undefined {
  const pattern = /^ {2}Total: {5}(\d+)\n {2}Passed: {4}(\d+)\n {2}Skipped: {3}(\d+)\n {2}Duration: /gm
  let last: RegExpExecArray | undefined
  for (const match of plain(output).matchAll(pattern)) last = match
  return last && { total: Number(last[1]), passed: Number(last[2]), skipped: Number(last[3]) }
}

function plain(text: string): string {
  return text.replace(/\x1b\[[0-9;]*m/g, '').replaceAll('\r', '')
}

function report(outcome: Outcome, verbose: boolean): void {
  const { file, passed, failed, skipped, seconds, output, problems } = outcome
  const counts = [`${passed} passed`]
  if (failed > 0) counts.push(`${failed} failed`)
  if (skipped > 0) counts.push(`${skipped} skipped`)
  print(`${failed > 0 ? 'FAIL' : 'ok  '} ${file.name}  ${counts.join(', ')}  ${seconds.toFixed(1)} s`)
  for (const problem of problems) print(`     ${file.name} ${problem}`)
  if (failed > 0 || verbose) for (const line of output.trimEnd().split('\n')) print(`     | ${line}`)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      root: { type: 'string', default: dirname(dirname(fileURLToPath(import.meta.url))) },
      jobs: { type: 'string', default: '2' },
      'time-limit': { type: 'string', default: '120' },
      san: { type: 'string' },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  if (values.san !== undefined) process.env['MATRIXFS_SAN'] = values.san
  const jobs = positive(values.jobs, '--jobs')
  const root = resolve(values.root)
  const filters = positionals.map((text) => text.replace(/^\.\//, ''))
  const files = findTests(root, positive(values['time-limit'], '--time-limit')).filter(
    (file) => filters.length === 0 || filters.some((text) => file.name.includes(text) || file.path === text),
  )
  if (values.list) {
    for (const file of files) print(`${file.name}  ${file.limit} s`)
    return 0
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      for (const child of running) killGroup(child)
      print(`stopped by ${signal}`)
      process.exit(1)
    })
  }

  const outcomes: Outcome[] = []
  const queue = [...files]
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const outcome = await run(file, root)
      outcomes.push(outcome)
      report(outcome, values.verbose)
    }
  }
  await Promise.all(Array.from({ length: Math.min(jobs, files.length) }, worker))

  const sum = (key: 'passed' | 'failed' | 'skipped'): number => outcomes.reduce((n, outcome) => n + outcome[key], 0)
  const bad = outcomes.filter((outcome) => outcome.failed > 0)
  print('')
  if (bad.length > 0) {
    print('failed:')
    for (const { file, output, problems } of bad) {
      print(`  ${file.name}${problems.length > 0 ? `: ${problems.join('; ')}` : ''}`)
      if (problems.some((problem) => problem.startsWith('still running'))) {
        for (const line of plain(output).trimEnd().split('\n').slice(-TAIL_LINES)) print(`    | ${line}`)
      }
    }
  }
  if (files.length === 0) {
    print(
      filters.length > 0 ? `no test file matches ${filters.join(' ')}` : `no test files under ${join(root, 'test')}`,
    )
  }
  if (sum('skipped') > 0) print(`${sum('skipped')} skipped`)
  print(`${sum('passed')} passed, ${sum('failed')} failed`)
  return files.length === 0 || bad.length > 0 ? 1 : 0
}

function positive(text: string, option: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new TypeError(`${option} wants a number above 0, not "${text}"`)
  return value
}

/**
 * The process of one test file. uvu writes the name of each test into `__test__` of its suite's state before it runs it;
 * we pass every such name to the runner at once, so that it can name a test that never ends even if it spins.
 */
async function child(path: string): Promise<void> {
  Object.defineProperty(Object.prototype, '__test__', {
    configurable: true,
    get: () => undefined,
    set(this: object, first: string) {
      let name = first
      Object.defineProperty(this, '__test__', {
        configurable: true,
        get: () => name,
        set(next: string) {
          name = next
          if (next !== '') tell(next)
        },
      })
    },
  })
  process.argv.splice(1, process.argv.length, path)
  await import(pathToFileURL(path).href)
}

function tell(test: string): void {
  try {
    writeSync(3, `${test}\0`)
  } catch {
    // The runner only loses a name.
  }
}

if (process.argv[2] === '--child') {
  await child(process.argv[3]!)
} else {
  try {
    process.exitCode = await main()
  } catch (err) {
    if (!(err instanceof TypeError)) throw err
    process.stderr.write(`${err.message}\n`)
    process.exitCode = 2
  }
}
