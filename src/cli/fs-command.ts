/** `matrix fs`: filesystems of a matrix. */
import { Command, Option } from 'commander'
import { exitCodes } from '../../config/index.ts'
import { MAX_SLOTS } from '../base/limits.ts'
import { formatSize, MiB } from '../base/units.ts'
import { ask, type NodeOptions, withConfig, withPlane } from './ask-node.ts'
import { growFilesystem } from './fs-grow.ts'
import { persist } from './lun-change.ts'
import { describeFilesystems, explain } from './lun-command.ts'
import { addLunOptions, type LunOptions, lunUrls } from './lun-options.ts'
import { OfflineMatrix } from './offline-matrix.ts'
import { names, sizeFrom, wholeNumber } from './option-values.ts'
import { createFilesystem, isolateFilesystem } from './provision.ts'
import { asksNode, describeRunningFilesystems, runningFilesystems } from './running-matrix.ts'
import { type JsonOption, say, sayJson, sayResult, withJson } from './table.ts'

type CreateOptions = LunOptions &
  JsonOption & {
    readonly on?: readonly string[]
    readonly slots?: number
    readonly journal?: number
    readonly checkpoint?: number
    readonly spread?: 'free' | 'stripe'
    readonly discard?: boolean
  }

export function fsCommand(): Command {
  const command = new Command('fs').description('make, grow, list, check, dump and restore filesystems')
  withJson(addLunOptions(command.command('create')))
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
  withJson(withConfig(command.command('grow')))
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
  withJson(addLunOptions(command.command('isolate')))
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
  withJson(withConfig(command.command('restore')))
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
  withJson(withPlane(addLunOptions(command.command('list'))))
    .description('filesystems of a matrix')
    .addHelpText(
      'after',
      '\nExamples:\n  matrix fs list --dir var/demo\n  matrix fs list --node http://127.0.0.1:20190',
    )
    .action(list)
  withJson(addLunOptions(command.command('check')))
    .description('check a filesystem; it may be in use. Changes nothing')
    .argument('<name>', 'name of the filesystem')
    .addHelpText(
      'after',
      `
Builds the image of the metadata from checkpoint and journals and asks it by SQL for unreachable inodes, wrong link counts,
overlapping extents, leaked space and the like. Exit code ${exitCodes.ok}: sound; ${exitCodes.damaged}: something was found; ${exitCodes.failed}: could not be checked.

Example:
  matrix fs check home --dir var/demo`,
    )
    .action(check)
  withJson(addLunOptions(command.command('dump')))
    .description('every file of a filesystem with its metadata, read from its LUNs; it may be in use. Changes nothing')
    .argument('<name>', 'name of the filesystem')
    .option('--out <file>', 'the whole image as a SQLite database in this file instead; it must not exist yet')
    .addHelpText(
      'after',
      `
Built from checkpoint and journals as matrix fs check does, without any node. With --json each name is a line of JSON by itself. Tables of
the database: docs/admin.md (names are byte strings, as latin1 text). File contents are not read.

Examples:
  matrix fs dump home --dir var/demo
  matrix fs dump home --lun file:/srv/lun1.img file:/srv/lun2.img --json
  matrix fs dump home --dir var/demo --out home.sqlite`,
    )
    .action(dump)
  return command
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const { on, slots, journal, checkpoint, spread, discard, json } = options
  const record = await createFilesystem({
    name,
    urls: lunUrls(options),
    lunNames: on,
    plan: { slots, journalBytes: journal, checkpointBytes: checkpoint },
    spread,
    discard,
  })
  sayResult(
    json,
    record,
    `filesystem ${name} made on ${record.luns.length} LUNs for up to ${record.slots} nodes, with journals of ${formatSize(record.journalBytes)}; serve it by an [[exports]] in each node's configuration`,
  )
}

async function grow(
  name: string,
  lunNames: readonly string[],
  { json, ...node }: NodeOptions & JsonOption,
): Promise<void> {
  const grown = await growFilesystem(name, lunNames, (request) => ask(node, request), explain)
  if (json) return sayJson(grown)
  for (const { lun, bytes } of grown)
    say(
      bytes > 0
        ? `filesystem ${name} is on LUN ${lun}, too: ${formatSize(bytes)} more`
        : `filesystem ${name} is on LUN ${lun}, too; its space had been added before`,
    )
}

async function isolate(name: string, options: LunOptions & JsonOption): Promise<void> {
  await isolateFilesystem(name, lunUrls(options))
  sayResult(options.json, { filesystem: name }, `filesystem ${name} is marked in error: nodes start without it`)
}

async function restore(name: string, { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  await persist(() => ask(node, { command: 'restore-filesystem', filesystem: name }), explain)
  sayResult(json, { filesystem: name }, `filesystem ${name} is in service`)
}

async function list(options: LunOptions & NodeOptions & JsonOption): Promise<void> {
  if (asksNode(options)) {
    const running = await runningFilesystems(options)
    return sayResult(options.json, running, describeRunningFilesystems(running))
  }
  const matrix = await OfflineMatrix.open(lunUrls(options), { mayMiss: true })
  try {
    const database = await matrix.readDatabase()
    sayResult(options.json, database.filesystems, describeFilesystems(database))
  } finally {
    await matrix.close()
  }
}

async function check(name: string, options: LunOptions & JsonOption): Promise<void> {
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

async function dump(name: string, options: LunOptions & JsonOption & { readonly out?: string }): Promise<void> {
  const { dumpFilesystem, writeDatabase, namesOf, describeName } = await import('./dump-filesystem.ts')
  const matrix = await OfflineMatrix.open(lunUrls(options), { mayMiss: true })
  const { out, json } = options
  try {
    const { image, vector, bytes } = await dumpFilesystem(matrix, name)
    const { inodes } = image.totals()
    if (out !== undefined) {
      await writeDatabase(out, bytes)
      const result = { filesystem: name, vector, inodes, file: out, bytes: bytes.length }
      sayResult(json, result, `${out}: ${inodes} inodes at ${vector}, ${formatSize(bytes.length)}`)
    } else for (const each of namesOf(image)) say(json ? JSON.stringify(each) : describeName(each))
    image.close()
  } finally {
    await matrix.close()
  }
}
