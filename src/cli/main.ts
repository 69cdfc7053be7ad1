#!/usr/bin/env node
/**
 * `matrix`: the command of people who run a matrix. Each file `*-command.ts` is one of its commands; demo/ is the matrix on one
 * machine for a first look. Nothing here is needed to serve files: that is `matrixd` (src/node).
 */
import { Command, CommanderError } from 'commander'
import { exitCodeOf, exitCodes, programVersion, showError } from '../../config/index.ts'
import { completionCommand } from './completion-command.ts'
import { countersCommand } from './counters-command.ts'
import { demoCommand } from './demo-command.ts'
import { exportCommand } from './export-command.ts'
import { fenceCommand } from './fence-command.ts'
import { fsCommand } from './fs-command.ts'
import { jobCommand } from './job-command.ts'
import { locksCommand } from './locks-command.ts'
import { logCommand } from './log-command.ts'
import { lunCommand } from './lun-command.ts'
import { mountCommand, umountCommand } from './mount-command.ts'
import { notifyCommand } from './notify-command.ts'
import { UsageError } from './option-values.ts'
import { replicateCommand } from './replicate-command.ts'
import { reportCommand } from './report-command.ts'
import { serviceCommand } from './service-command.ts'
import { sqlCommand } from './sql-command.ts'
import { statusCommand } from './status-command.ts'
import { supportCommand } from './support-command.ts'
import { targetCommand } from './target-command.ts'
import { timelineCommand } from './timeline-command.ts'
import { userCommand } from './user-command.ts'
import { vhostCommand } from './vhost-command.ts'
import { waitsCommand } from './waits-command.ts'

/** The whole command, with all of its commands. */
export const program = new Command('matrix')
  .description('Looks after a matrix: servers that share LUNs, and one coherent filesystem on them.')
  .version(programVersion())
  .addCommand(demoCommand())
  .addCommand(statusCommand())
  .addCommand(lunCommand())
  .addCommand(fsCommand())
  .addCommand(exportCommand())
  .addCommand(mountCommand())
  .addCommand(umountCommand())
  .addCommand(locksCommand())
  .addCommand(waitsCommand())
  .addCommand(logCommand())
  .addCommand(countersCommand())
  .addCommand(timelineCommand())
  .addCommand(sqlCommand())
  .addCommand(reportCommand())
  .addCommand(supportCommand())
  .addCommand(fenceCommand())
  .addCommand(vhostCommand())
  .addCommand(jobCommand())
  .addCommand(serviceCommand())
  .addCommand(notifyCommand())
  .addCommand(replicateCommand())
  .addCommand(targetCommand())
  .addCommand(userCommand())
  .addCommand(completionCommand())
  .addHelpText(
    'after',
    `
Every command explains itself: matrix lun format --help

Environment: MATRIX_NODE, the admin plane that is asked when neither --node nor --config says another; MATRIX_USER, MATRIX_PASSWORD_FILE
and MATRIX_CA, how (matrix status --help).

Exit codes: ${exitCodes.ok} done, ${exitCodes.failed} failed, ${exitCodes.damaged} a check found something, ${exitCodes.usage} wrong command or option, ${exitCodes.bug} a bug, ${exitCodes.config} wrong configuration`,
  )

prepare(program, 'matrix')
if (import.meta.main) {
  // Whoever reads may go away; a demo goes on.
  process.stdout.on('error', () => {})
  process.exit(await run(process.argv.slice(2)))
}

/** Runs a command line, without the name of the program; gives the exit code. */
export async function run(words: readonly string[]): Promise<number> {
  process.exitCode = undefined
  try {
    await program.parseAsync(words, { from: 'user' })
    return Number(process.exitCode ?? exitCodes.ok)
  } catch (error) {
    // commander has said what is wrong, or given its help
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    if (error instanceof UsageError) {
      process.stderr.write(`error: ${error.message}\n`)
      return exitCodes.usage
    }
    process.stderr.write(`${showError('matrix', error)}\n`)
    return exitCodeOf(error)
  }
}

/** Options belong to the command they follow; a usage error names the command whose help explains it. */
function prepare(command: Command, called: string): void {
  command
    .enablePositionalOptions()
    .allowExcessArguments(false)
    .showHelpAfterError(`Help: ${called} --help`)
    .exitOverride()
  for (const child of command.commands) prepare(child, `${called} ${child.name()}`)
}
