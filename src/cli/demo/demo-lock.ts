/**
 * One demo per folder: its process stands in DIR/run/demo.json while it runs. The file is made whole or not at all (a link of a
 * finished one), so of two demos that start at once one gets it. One that a dead process left behind is taken over. Its state is
 * 'ready' until the demo begins to stop its nodes: from then on nobody may start one.
 */
import { linkSync, mkdirSync, unlinkSync } from 'node:fs'
import { type Run, readRunFile, writeRunFile } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { realProcesses } from '../../platform/real/processes.ts'
import type { DemoLayout } from './layout.ts'

/** The demo that runs in this folder; undefined when none does. */
export function runningDemo(layout: DemoLayout): Run | undefined {
  const run = readRunFile(layout.lockFile)
  return run && realProcesses.state(run.process) === 'running' ? run : undefined
}

export type FolderLock = {
  /** No node may be started any more. */
  readonly stopping: () => void
  readonly release: () => void
}

/** Throws MatrixError 'in-use'. */
export function lockFolder(layout: DemoLayout): FolderLock {
  mkdirSync(layout.runFolder, { recursive: true })
  const own = `${layout.lockFile}.${process.pid}`
  writeRunFile(own, { process: realProcesses.self(), state: 'ready' })
  try {
    for (;;) {
      const other = runningDemo(layout)
      if (other) {
        throw new MatrixError(
          'in-use',
          `a demo already runs in ${layout.dir} (pid ${other.process.pid}); stop it with Ctrl-C there, or choose another --dir and --base-port`,
        )
      }
      remove(layout.lockFile)
      try {
        linkSync(own, layout.lockFile)
        return {
          stopping: () => writeRunFile(layout.lockFile, { process: realProcesses.self(), state: 'stopping' }),
          release: () => remove(layout.lockFile),
        }
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
    }
  } finally {
    remove(own)
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
