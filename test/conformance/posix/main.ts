/**
 * `npm run posix -- DIR…`: does a directory behave as POSIX says? Several directories must be the same filesystem, seen at several
 * nodes: then every case runs in each of them, and across them. docs/testing.md says more.
 */
import { accessSync, realpathSync, statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { groups as allGroups } from './cases/index.ts'
import type { Group } from './rules.ts'
import { type GroupResult, runCases, traitsOf } from './runner.ts'

const HELP = `usage: npm run posix -- [options] DIR …

Checks that DIR behaves as POSIX says, in a directory of its own below DIR that it removes at the end. With several
directories, the same filesystem at several nodes, every case runs in each of them and then across them: what is done
through one directory is looked at through the next. Needs root, because it acts as several users, and python3.

  --only A,B         only these groups, or cases such as rename-12
  --across           with several directories: only across them
  --list             name the cases with their rules, run nothing
  --json             results as JSON
  --time-limit S     seconds that a call may take (default 20): one that takes longer is a failure
  --help             this text
`

class UsageError extends Error {}

type Outcome = {
  readonly dirs: readonly string[]
  readonly filesystem: string
  readonly groups: readonly GroupResult[]
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      across: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      'time-limit': { type: 'string', default: '20' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  const groups = chosen(values.only)
  if (values.list) {
    for (const { cases } of groups) for (const { code, rule } of cases) process.stdout.write(`${code}  ${rule}\n`)
    return 0
  }
  const limit = Number(values['time-limit']) * 1000
  if (!(limit > 0)) throw new UsageError(`--time-limit wants seconds, not "${values['time-limit']}"`)
  if (process.getuid?.() !== 0) throw new UsageError('this suite acts as several users: run it as root')
  const dirs = positionals.map(directory)
  if (dirs.length === 0) throw new UsageError('which directory? npm run posix -- DIR …')
  if (values.across && dirs.length < 2) throw new UsageError('--across needs two directories or more')
  const alone = values.across ? [] : dirs.map((dir) => [dir])
  const outcomes: Outcome[] = []
  for (const under of dirs.length > 1 ? [...alone, dirs] : alone) {
    const filesystem = traitsOf(under[0]!)[0]!
    if (!values.json) print(`${under.join(' and ')} (${filesystem})`)
    const results = await runCases({ dirs: under, groups, limit, onGroup: values.json ? () => {} : report })
    outcomes.push({ dirs: under, filesystem, groups: results })
  }
  const total = { assertions: 0, failed: 0 }
  for (const { asserted, failures } of outcomes.flatMap((o) => o.groups).flatMap((g) => g.cases)) {
    total.assertions += asserted
    total.failed += failures.length
  }
  if (values.json) print(JSON.stringify({ ...total, runs: outcomes }, undefined, 1))
  else print(`${total.assertions} assertions, ${total.failed} failed`)
  return total.failed > 0 ? 1 : 0
}

function chosen(only: string | undefined): Group[] {
  if (only === undefined) return [...allGroups]
  const words = only.split(',').filter((word) => word !== '')
  for (const word of words) {
    const known = allGroups.some(({ name, cases }) => name === word || cases.some(({ code }) => code === word))
    if (!known)
      throw new UsageError(`no group or case "${word}"; groups: ${allGroups.map(({ name }) => name).join(', ')}`)
  }
  return allGroups
    .map(({ name, cases }) => ({
      name,
      cases: cases.filter(({ code }) => words.includes(name) || words.includes(code)),
    }))
    .filter(({ cases }) => cases.length > 0)
}

function directory(path: string): string {
  try {
    const dir = realpathSync(path)
    if (!statSync(dir).isDirectory()) throw new UsageError(`${path} is not a directory`)
    accessSync(dir)
    return dir
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(`${path}: ${(error as Error).message}`)
  }
}

function report({ name, cases }: GroupResult): void {
  const asserted = cases.reduce((sum, one) => sum + one.asserted, 0)
  const failed = cases.reduce((sum, one) => sum + one.failures.length, 0)
  print(`  ${name.padEnd(14)} ${`${asserted - failed}`.padStart(4)} ok${failed > 0 ? `, ${failed} failed` : ''}`)
  for (const { code, rule, failures } of cases) {
    if (failures.length === 0) continue
    print(`    ${code}: ${rule}`)
    for (const { what, expected, found } of failures)
      print(`      ${what}\n        expected ${expected}, found ${found}`)
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

try {
  process.exitCode = await main()
} catch (error) {
  const usage = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(
    `${usage || /python3 is missing/.test(`${error}`) ? (error as Error).message : (error as Error).stack}\n`,
  )
  process.exitCode = 2
}
