/**
 * Runs cases over directories. Every case gets a new directory of its own with mode 777, made by root below one that is
 * removed at the end. With several directories under test the case's directory is reached through each of them.
 */
import { readFileSync } from 'node:fs'
import { CallError, Hung } from './agent.ts'
import { Port } from './calls.ts'
import type { Case, Group } from './rules.ts'
import { type Failure, Trial } from './trial.ts'

export type CaseResult = {
  readonly code: string
  readonly rule: string
  readonly asserted: number
  readonly failures: readonly Failure[]
}
export type GroupResult = { readonly name: string; readonly cases: readonly CaseResult[] }

/** After so many hung calls the directory is given up: each costs the whole time limit. */
const MAX_HUNG = 3

export type RunOptions = {
  readonly dirs: readonly string[]
  readonly groups: readonly Group[]
  readonly limit?: number | undefined
  readonly onGroup?: (result: GroupResult) => void
}

let runs = 0

/** Runs all cases; with one directory within it, with several across them. */
export async function runCases({ dirs, groups, limit, onGroup }: RunOptions): Promise<GroupResult[]> {
  const traits = traitsOf(dirs[0]!)
  const port = new Port(dirs.length, limit)
  const name = `posix-${process.pid}-${++runs}`
  const results: GroupResult[] = []
  let hung = 0
  const plain = (call: string, ...args: unknown[]) => port.agent(0).call({ call, args, dir: -1 }, `${call}(${args})`)
  try {
    await plain('makeRoot', `${dirs[0]}/${name}`, 0o755)
    for (const { name: title, cases } of groups) {
      const done: CaseResult[] = []
      for (const one of cases) {
        if (one.oneSystem && dirs.length > 1) continue
        if (hung >= MAX_HUNG) {
          done.push(failed(one, 'the case runs', 'not run: too many calls before it hung'))
          continue
        }
        const result = await runCase(
          one,
          port,
          dirs.map((dir) => `${dir}/${name}/${one.code}`),
          traits,
        )
        if (result.hung) hung++
        done.push(result)
      }
      if (done.length === 0) continue
      const result = { name: title, cases: done }
      results.push(result)
      onGroup?.(result)
    }
    await plain('removeTree', `${dirs[0]}/${name}`).catch((error) => {
      // what a call hangs in may hang this one, too; the case is reported already
      if (hung === 0) throw error
    })
  } finally {
    port.end()
  }
  return results
}

async function runCase(
  one: Case,
  port: Port,
  paths: string[],
  traits: readonly string[],
): Promise<CaseResult & { hung: boolean }> {
  const trial = new Trial(port, one.code, traits)
  const { code, rule } = one
  let hung = false
  const broke = (error: unknown): void => {
    if (error instanceof Hung) hung = true
    else if (!(error instanceof CallError) && !(error instanceof Error)) throw error
    trial.asserted++
    trial.failures.push({ what: 'the case runs to its end', expected: 'no failure', found: error.message })
  }
  const root = { call: 'makeRoot', args: [paths[0], 0o777], dir: -1 }
  try {
    await port.agent(0).call(root, `mkdir(${paths[0]})`)
    await port.enter(paths)
    await one.run(trial)
  } catch (error) {
    broke(error)
  }
  if (!hung) {
    try {
      await port.leave()
      await port.agent(0).call({ call: 'removeTree', args: [paths[0]], dir: -1 }, `rm -r ${paths[0]}`)
    } catch (error) {
      broke(error)
    }
  }
  if (trial.asserted === 0) throw new Error(`${code} asserts nothing`)
  return { code, rule, asserted: trial.asserted, failures: trial.failures, hung }
}

function failed({ code, rule }: Case, what: string, found: string): CaseResult {
  return { code, rule, asserted: 1, failures: [{ what, expected: 'it runs', found }] }
}

/** The type of the filesystem a directory lies on and the options it is mounted with, as /proc/self/mountinfo names them. */
export function traitsOf(dir: string): string[] {
  let best = ''
  let traits = ['unknown']
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const fields = line.split(' ')
    const point = fields[4]?.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    if (point === undefined || point.length < best.length) continue
    if (point !== '/' && dir !== point && !dir.startsWith(`${point}/`)) continue
    best = point
    traits = [fields[fields.indexOf('-') + 1]!, ...fields[5]!.split(',')]
  }
  return traits
}
