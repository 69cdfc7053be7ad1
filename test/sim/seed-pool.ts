/**
 * Runs seeds, on as many processes as there are cores: each asks for the next seed when it is done with one. A seed's run depends on
 * nothing but the seed, so it does not matter where it runs. With one job everything happens in this process, where it can be watched.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type SimOptions, type SimResult, simulate } from './run.ts'

export type Outcome = { readonly seed: number } /** `cpuMs`: what the run took of a processor. */ & (
  | { readonly result: SimResult; readonly cpuMs: number }
  /** What broke, for people. */
  | { readonly failure: string }
)

/** Runs one seed; with `verify` a second time, which must be the same run. */
export async function runSeed(seed: number, options: SimOptions, verify: boolean): Promise<Outcome> {
  const began = process.cpuUsage()
  try {
    const result = await simulate(seed, options)
    const { user, system } = process.cpuUsage(began)
    if (verify) {
      const again = await simulate(seed, options)
      if (again.hash !== result.hash)
        return { seed, failure: `seed ${seed}: two runs differ: hash ${result.hash}, then ${again.hash}` }
    }
    return { seed, result, cpuMs: (user + system) / 1000 }
  } catch (error) {
    return { seed, failure: error instanceof Error ? error.message : String(error) }
  }
}

/** Runs the seeds that `next` gives, until it gives none; resolves when all are done. */
export async function runSeeds(
  jobs: number,
  next: () => number | undefined,
  done: (outcome: Outcome) => void,
  options: { readonly verify: boolean } & SimOptions,
): Promise<void> {
  if (jobs === 1) {
    for (let seed = next(); seed !== undefined; seed = next()) done(await runSeed(seed, options, options.verify))
    return
  }
  await Promise.all(Array.from({ length: jobs }, () => runChild(next, done, options.verify)))
}

function runChild(next: () => number | undefined, done: (outcome: Outcome) => void, verify: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const child: ChildProcess = fork(fileURLToPath(import.meta.url), verify ? ['--verify'] : [], {
      execArgv: [...process.execArgv, '--max-semi-space-size=64'], // most of what is allocated lives for an event
    })
    let seed: number | undefined
    const give = () => {
      seed = next()
      if (seed === undefined) child.disconnect()
      else child.send(seed)
    }
    child.on('message', (outcome: Outcome) => {
      done(outcome)
      give()
    })
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      if (seed !== undefined) done({ seed, failure: `seed ${seed}: its process ended with ${signal ?? code}` })
      resolve()
    })
    give()
  })
}

// as the child
if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) {
  const verify = process.argv.includes('--verify')
  process.on('message', (seed: number) => {
    void runSeed(seed, {}, verify).then((outcome) => process.send?.(outcome))
  })
}
