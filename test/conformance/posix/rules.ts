/** Cases and groups of them. A case's code, such as `rename-12`, is given by hand and never changes its meaning. */
import type { Trial } from './trial.ts'

export type CaseOptions = {
  /** Only within one directory: the rule speaks of one system (say, of a program that runs), not of what nodes share. */
  readonly oneSystem?: boolean
}
export type Case = CaseOptions & {
  readonly code: string
  /** The rule, as POSIX (XSH, XBD) or the manual page has it. */
  readonly rule: string
  readonly run: (t: Trial) => Promise<void>
}
export type Group = { readonly name: string; readonly cases: readonly Case[] }
/** Adds one case. */
export type Rule = (number: number, rule: string, run: (t: Trial) => Promise<void>, options?: CaseOptions) => void

export function group(name: string, define: (rule: Rule) => void): Group {
  const cases: Case[] = []
  define((number, rule, run, options = {}) => {
    const code = `${name}-${number}`
    if (cases.some((other) => other.code === code)) throw new Error(`two cases are called ${code}`)
    cases.push({ ...options, code, rule, run })
  })
  cases.sort((a, b) => Number(a.code.slice(name.length + 1)) - Number(b.code.slice(name.length + 1)))
  return { name, cases }
}
