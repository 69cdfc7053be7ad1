/** `npm run fuzz -- TARGET`: gives a target inputs that nobody would send, until there have been enough. */
import { parseArgs } from 'node:util'
import { machine, save } from '../../bench/results.ts'
import { httpTarget } from './http/target.ts'
import { nfsTarget } from './nfs/target.ts'
import { type FuzzReport, fuzz } from './runner.ts'
import type { FuzzTarget } from './target.ts'

const targets: readonly FuzzTarget[] = [nfsTarget, httpTarget]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    save: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const target = targets.find(({ name }) => name === positionals[0])

if (values.help || !target) {
  console.log(`npm run fuzz -- TARGET [options]

${targets.map(({ name, about }) => `  ${name.padEnd(16)} ${about}`).join('\n')}

  --inputs N       so many (1000000)
  --minutes M      or until the time is over
  --seed S         what they are made from (the time); a failure names seed and input
  --save           keep the result in bench/results`)
  process.exitCode = values.help ? 0 : 1
} else {
  const seed = numberOf('seed', values.seed ?? `${Math.floor(Date.now() / 1000)}`)
  const inputs = numberOf('inputs', values.inputs)
  const limitMs = values.minutes === undefined ? undefined : 60_000 * numberOf('minutes', values.minutes)
  const report = await fuzz(target, {
    ...{ seed, inputs, ...(limitMs !== undefined && { limitMs }) },
    onProgress: (done) => console.log(`${done} inputs`),
  })
  const text = describe(target, report)
  console.log(text)
  if (values.save)
    console.log(save(`fuzz-${target.name}-`, text, { ...report, kinds: Object.fromEntries(report.kinds) }))
}

function numberOf(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  throw new Error(`--${name} takes a whole number, not ${text}`)
}

function describe({ name, about }: FuzzTarget, report: FuzzReport): string {
  const { seed, inputs, seconds, kinds, slowestMs, memory } = report
  const mega = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`
  const rows = [...kinds].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => `| ${kind} | ${count} |`)
  return `# Fuzz: ${name}

${about}. Seed ${seed}, ${inputs} inputs in ${seconds.toFixed(0)} s on ${machine()}. No crash, no wrong answer; the slowest took
${slowestMs.toFixed(0)} ms. In use after a tenth of the inputs ${mega(memory.early)}, at the end ${mega(memory.late)}.

| input | |
|---|---|
${rows.join('\n')}
`
}
