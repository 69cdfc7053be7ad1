#!/usr/bin/env node
/**
 * `matrix`: the command of people who run a matrix. Each file `*-command.ts` is one of its commands; demo/ is the matrix on one
 * machine for a first look. Nothing here is needed to serve files: that is `matrixd` (src/node).
 */
import { Command } from 'commander'
import { exitCodeOf, exitCodes, programVersion, showError } from '../../config/index.ts'
import { countersCommand } from './counters-command.ts'
import { demoCommand } from './demo-command.ts'
import { exportCommand } from './export-command.ts'
import { fenceCommand } from './fence-command.ts'
import { fsCommand } from './fs-command.ts'
import { locksCommand } from './locks-command.ts'
import { lunCommand } from './lun-command.ts'
import { mountCommand, umountCommand } from './mount-command.ts'
import { UsageError } from './option-values.ts'
import { serviceCommand } from './service-command.ts'
import { sqlCommand } from './sql-command.ts'
import { statusCommand } from './status-command.ts'
import { supportCommand } from './support-command.ts'
import { targetCommand } from './target-command.ts'
import { timelineCommand } from './timeline-command.ts'
import { userCommand } from './user-command.ts'
import { vhostCommand } from './vhost-command.ts'

const program = new Command('matrix')
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
  .addCommand(countersCommand())
  .addCommand(timelineCommand())
  .addCommand(sqlCommand())
  .addCommand(supportCommand())
  .addCommand(fenceCommand())
  .addCommand(vhostCommand())
  .addCommand(serviceCommand())
  .addCommand(targetCommand())
  .addCommand(userCommand())
  .addHelpText(
    'after',
    `
Every command explains itself: matrix lun format --help

Exit codes: ${exitCodes.ok} done, ${exitCodes.failed} failed, ${exitCodes.damaged} a check found something, ${exitCodes.usage} wrong command or option, ${exitCodes.bug} a bug, ${exitCodes.config} wrong configuration`,
  )

prepare(program, 'matrix')
// Whoever reads may go away; a demo goes on.
process.stdout.on('error', () => {})

try {
  await program.parseAsync()
  process.exit()
} catch (error) {
  if (error instanceof UsageError) program.error(`error: ${error.message}`)
  process.stderr.write(`${showError('matrix', error)}\n`)
  process.exit(exitCodeOf(error))
}

/** Options belong to the command they follow; a usage error names the command whose help explains it. */
function prepare(command: Command, called: string): void {
  command
    .enablePositionalOptions()
    .allowExcessArguments(false)
    .showHelpAfterError(`Help: ${called} --help`)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage))
  for (const child of command.commands) prepare(child, `${called} ${child.name()}`)
}
