/**
 * Runs a probe (probes.ts) in a process of its own, with a rule broken or with none. `noticed` is the probe saying that something is wrong: a
 * test that fails or waits for ever, an oracle or an assertion that trips. A probe that is not over within its time has noticed nothing.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import type { BrokenRule } from '../../src/base/broken-rules.ts'
import type { Probe } from './probes.ts'

export type Verdict = {
  readonly kind: 'noticed' | 'held' | 'out of time'
  readonly ms: number
  /** What was said to be wrong; empty when nothing was. */
  readonly message: string
  /** The seed that noticed it, where seeds are tried one after another. */
  readonly seed: number | undefined
}

const root = fileURLToPath(new URL('../..', import.meta.url))

export function runProbe(probe: Probe, rule: BrokenRule | undefined, seconds: number): Promise<Verdict> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', './test/mutants/break-rule.ts', ...argumentsOf(probe)], {
      cwd: root,
      env: { ...process.env, MATRIXFS_BREAK: rule ?? '' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      child.kill('SIGKILL')
    }, seconds * 1000)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
        // the histories go on after a seed that failed, and one is enough
        if (probe.by === 'matrices' && /^seed \d+: /m.test(output)) child.kill('SIGKILL')
      })
    }
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      const text = stripVTControlCharacters(output)
      const found = messageIn(text)
      const seed = probe.by === 'test' ? undefined : Number(/seed (\d+)[:,]/.exec(found)?.[1] ?? Number.NaN)
      const kind = code === 0 ? 'held' : found !== '' ? 'noticed' : isLate ? 'out of time' : undefined
      const ms = performance.now() - began
      if (kind) resolve({ kind, ms, message: kind === 'noticed' ? found : '', seed })
      else reject(new Error(`a probe ended with ${code} and said nothing that makes sense:\n${text.slice(-2000)}`))
    })
  })
}

function argumentsOf(probe: Probe): string[] {
  switch (probe.by) {
    case 'test':
      return ['test/mutants/one-test.ts', probe.file, probe.name]
    case 'volumes':
      return ['test/sim/volume.test.ts', String(probe.first), String(probe.seeds)]
    case 'matrices':
      return ['test/sim/main.ts', '--first-seed', String(probe.first), '--seeds', String(probe.seeds)]
  }
}

/** The first thing that is said to be wrong. */
function messageIn(text: string): string {
  if (/has no test "|ERR_MODULE_NOT_FOUND|SyntaxError/.test(text)) return '' // the probe itself is wrong
  const lines = text.split('\n').map((line) => line.trim())
  const failed = lines.findIndex((line) => line.startsWith('FAIL'))
  if (failed >= 0)
    return [lines[failed + 1], ...lines.slice(failed + 2, failed + 8).filter((line) => /^(\+\+|--)/.test(line))].join(
      ' ',
    )
  const seed = lines.find((line) => /^(Error: )?seed \d+[:,]/.test(line) && !/^seed \d+ held/.test(line))
  if (seed !== undefined) return seed.replace(/^Error: /, '')
  const thrown = lines.find((line) => /^(\w*Error)\b.*: /.test(line))
  if (thrown !== undefined) return thrown
  return lines.includes('Exiting early before testing is finished.') ? 'what the test waits for never comes' : ''
}
