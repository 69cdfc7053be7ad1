/** `matrix fs`: filesystems of a matrix. */
import { Command, Option } from 'commander'
import { exitCodes } from '../../config/index.ts'
import { MAX_SLOTS } from '../base/limits.ts'
import { formatSize, MiB } from '../base/units.ts'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { growFilesystem } from './fs-grow.ts'
import { persist } from './lun-change.ts'
import { describeFilesystems, explain } from './lun-command.ts'
import { addLunOptions, type LunOptions, lunUrls } from './lun-options.ts'
import { OfflineMatrix } from './offline-matrix.ts'
import { names, sizeFrom, wholeNumber } from './option-values.ts'
import { createFilesystem, isolateFilesystem } from './provision.ts'
import { say, sayJson } from './table.ts'

type CreateOptions = LunOptions & {
  readonly on?: readonly string[]
  readonly slots?: number
  readonly journal?: number
  readonly checkpoint?: number
  readonly spread?: 'free' | 'stripe'
  readonly discard?: boolean
}
type JsonOptions = LunOptions & { readonly json?: boolean }

export function fsCommand(): Command {
  const command = new Command('fs').description('make, grow, list, check and restore filesystems')
  addLunOptions(command.command('create'))
    .description('make an empty filesystem; no node of the matrix may run')
    .argument('<name>', 'name of the filesystem; exports name it')
    .option(
      '--on <lun...>',
      'names of the LUNs it gets (default: all that bear none); the first carries its journals',
      names,
    )
    .option(
      '--slots <n>',
      `most nodes that can ever mount it at once, 1…${MAX_SLOTS} (default: 8)`,
      wholeNumber({ min: 1, max: MAX_SLOTS }),
    )
    .option('--journal <size>', 'journal of each slot (default: by the size of the LUN)', sizeFrom(MiB))
    .option(
      '--checkpoint <size>',
      'half of the checkpoint area of each slot: bounds the number of files (default: by the size)',
      sizeFrom(MiB),
    )
    .addOption(
      new Option('--spread <how>', 'which LUN new data goes to: by the free space of each, or all in turn')
        .choices(['free', 'stripe'])
        .default('free'),
    )
    .option('--discard', 'give the space of these LUNs back to the array first (iscsi: LUNs that are thin)')
    .addHelpText(
      'after',
      '\nExamples:\n  matrix fs create home --config /etc/matrixfs/matrixd.toml\n  matrix fs create home --lun file:/srv/lun1.img file:/srv/lun2.img --slots 16',
    )
    .action(create)
  withConfig(command.command('grow'))
    .description('give a filesystem further LUNs of the running matrix, while it is in use')
    .argument('<name>', 'name of the filesystem')
    .argument(
      '<lun...>',
      'matrix-wide names of the LUNs (matrix status); another one is added with matrix lun add',
      names,
    )
    .addHelpText(
      'after',
      `
Every node has to reach them. They may not bear another filesystem. Run again after an interruption it goes on.

Example:
  matrix lun add file:/srv/lun3.img --name lun3 --config var/demo/n1.toml
  matrix fs grow home lun3 --config var/demo/n1.toml`,
    )
    .action(grow)
  addLunOptions(command.command('isolate'))
    .description('mark a filesystem in error, so that nodes start without its LUNs; no node of the matrix may run')
    .argument('<name>', 'name of the filesystem')
    .addHelpText(
      'after',
      `
For LUNs that have failed while all nodes were down: nodes that run do it by themselves. matrix fs restore takes it back.

Example:
  matrix fs isolate home --config /etc/matrixfs/matrixd.toml`,
    )
    .action(isolate)
  withConfig(command.command('restore'))
    .description('put a filesystem that was marked in error into service again, once its LUNs are mended')
    .argument('<name>', 'name of the filesystem (matrix fs list shows why it is in error)')
    .addHelpText(
      'after',
      `
Nodes that had it in use when it failed have to be restarted first, one after another: the command says which. Every node has to reach its LUNs.

Example:
  matrix fs restore home --config var/demo/n1.toml`,
    )
    .action(restore)
  addLunOptions(command.command('list'))
    .description('filesystems of a matrix')
    .option('--json', 'for programs')
    .addHelpText('after', '\nExample:\n  matrix fs list --dir var/demo')
    .action(list)
  addLunOptions(command.command('check'))
    .description('check a filesystem; it may be in use. Changes nothing')
    .argument('<name>', 'name of the filesystem')
    .option('--json', 'for programs')
    .addHelpText(
      'after',
      `
Builds the image of the metadata from checkpoint and journals and asks it by SQL for unreachable inodes, wrong link counts,
overlapping extents, leaked space and the like. Exit code ${exitCodes.ok}: sound; ${exitCodes.damaged}: something was found; ${exitCodes.failed}: could not be checked.

Example:
  matrix fs check home --dir var/demo`,
    )
    .action(check)
  return command
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const { on, slots, journal, checkpoint, spread, discard } = options
  const record = await createFilesystem({
    name,
    urls: lunUrls(options),
    lunNames: on,
    plan: { slots, journalBytes: journal, checkpointBytes: checkpoint },
    spread,
    discard,
  })
  say(
    `filesystem ${name} made on ${record.luns.length} LUNs for up to ${record.slots} nodes, with journals of ${formatSize(record.journalBytes)}; serve it by an [[exports]] in each node's configuration`,
  )
}

async function grow(name: string, lunNames: readonly string[], { config }: NodeOptions): Promise<void> {
  const grown = await growFilesystem(name, lunNames, (request) => ask(config, request), explain)
  for (const { lun, bytes } of grown)
    say(
      bytes > 0
        ? `filesystem ${name} is on LUN ${lun}, too: ${formatSize(bytes)} more`
        : `filesystem ${name} is on LUN ${lun}, too; its space had been added before`,
    )
}

async function isolate(name: string, options: LunOptions): Promise<void> {
  await isolateFilesystem(name, lunUrls(options))
  say(`filesystem ${name} is marked in error: nodes start without it`)
}

async function restore(name: string, { config }: NodeOptions): Promise<void> {
  await persist(() => ask(config, { command: 'restore-filesystem', filesystem: name }), explain)
  say(`filesystem ${name} is in service`)
}

async function list(options: JsonOptions): Promise<void> {
  const matrix = await OfflineMatrix.open(lunUrls(options), { mayMiss: true })
  try {
    const database = await matrix.readDatabase()
    if (options.json) sayJson(database.filesystems)
    else say(describeFilesystems(database))
  } finally {
    await matrix.close()
  }
}

async function check(name: string, options: JsonOptions): Promise<void> {
  // Loaded here: only this command needs the floors of a whole node.
  const { checkFilesystem } = await import('./check-filesystem.ts')
  const matrix = await OfflineMatrix.open(lunUrls(options), { mayMiss: true })
  try {
    const { findings, inodes, vector } = await checkFilesystem(matrix, name)
    if (options.json) sayJson({ filesystem: name, vector, inodes, findings })
    else {
      for (const { check: which, detail } of findings) say(`${which}: ${detail}`)
      const verdict = findings.length === 0 ? 'is sound' : `has ${findings.length} findings`
      say(`filesystem ${name} ${verdict}: ${inodes} inodes at ${vector}`)
    }
    if (findings.length > 0) process.exitCode = exitCodes.damaged
  } finally {
    await matrix.close()
  }
}
