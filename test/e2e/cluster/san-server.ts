/**
 * The process of the SAN switch (san-switch.ts starts it): all nodes' ways to the LUNs in one event loop, so that the log of writes has
 * one order. Never touch its mounts synchronously from here: the loop that would wait is the one that answers.
 */
import { LunMount, type Mode } from './lun-mount.ts'
import { WriteLog } from './write-log.ts'

export type SanServerOptions = {
  /** One mount point per node. */
  readonly directories: readonly string[]
  readonly luns: readonly string[]
  readonly log: string
}

export type SanCommand =
  | { readonly id: number; readonly kind: 'mode'; readonly node: number; readonly mode: Mode }
  /** What was written until now is in the log file. */
  | { readonly id: number; readonly kind: 'flush' }
export type SanAnswer = { readonly ready: true } | { readonly failed: string } | { readonly done: number }

const say = (answer: SanAnswer) => process.send?.(answer)

try {
  const { directories, luns, log: path } = JSON.parse(process.argv[2] as string) as SanServerOptions
  const log = new WriteLog(path)
  const mounts: LunMount[] = []
  for (const [node, directory] of directories.entries())
    mounts.push(await LunMount.start({ directory, node, luns, log }))
  process.on('message', (command: SanCommand) => {
    if (command.kind === 'mode') mounts[command.node]?.setMode(command.mode)
    else log.flush()
    say({ done: command.id })
  })
  process.on('disconnect', () => {
    for (const mount of mounts) mount.close()
    log.close()
    process.exit(0)
  })
  say({ ready: true })
} catch (error) {
  say({ failed: String(error instanceof Error ? error.stack : error) })
  process.exitCode = 1
  process.disconnect?.()
}
