/** `matrix lun`: preparing LUNs, and reading what is on them. */
import { Command, Option } from 'commander'
import { isMatrixError } from '../base/errors.ts'
import { defaultTimings } from '../base/timings.ts'
import { formatSize } from '../base/units.ts'
import { realClock } from '../platform/real/clock.ts'
import { realHost } from '../platform/real/host.ts'
import { type Label, type LabelRead, MembershipStore, openLun, Partitions, readLabel } from '../san/index.ts'
import { ask, configFile, type NodeOptions, withConfig, withNode } from './ask-node.ts'
import { type AskNode, addLun, importLun, lunsOf, removeLun } from './lun-change.ts'
import { drainLun, growLun, stopDraining } from './lun-drain.ts'
import { lunUrls } from './lun-options.ts'
import { describeFound, placesOf, scanLuns } from './lun-scan.ts'
import { describeSeen, lunsSeen } from './lun-sights.ts'
import { type NodeSeen, nodesOn } from './offline-matrix.ts'
import { names, nameValue, UsageError } from './option-values.ts'
import { describePending } from './pending-change.ts'
import { addLuns, formatMatrix, type NamedLun } from './provision.ts'
import { formatTable, type JsonOption, say, sayJson, sayResult, withJson } from './table.ts'
import { toolLog } from './tool-log.ts'

type FormatOptions = JsonOption & {
  readonly matrix?: string
  readonly into?: readonly string[]
  readonly partitions?: 1 | 3
  readonly name?: readonly string[]
  readonly force?: boolean
}

export function lunCommand(): Command {
  const command = new Command('lun').description(
    'prepare LUNs, add, import, grow, drain and remove them, and read what is on them',
  )
  withJson(command.command('format'))
    .description('label LUNs: of a new matrix (--matrix), or added to one (--into)')
    .argument(
      '<url...>',
      'the LUNs, such as file:/srv/lun1.img; of a new matrix the first bears the membership partition, or the first three',
    )
    .option('--matrix <name>', 'begin a new matrix of this name', nameValue)
    .option('--into <url...>', 'add the LUNs to the matrix whose membership partitions are on these LUNs')
    .addOption(
      new Option('--partitions <n>', 'membership partitions of a new matrix: of three, any one may be lost')
        .choices(['1', '3'])
        .default('1'),
    )
    .option('--name <name...>', 'matrix-wide names, one per LUN (default: lun1, lun2, …)', names)
    .option('--force', 'overwrite a label, or other content, that is there')
    .addHelpText(
      'after',
      `
A file LUN is made with: truncate --size 100G /srv/lun1.img
Without --force only LUNs whose first 8 MiB are zero are written to. No node of the matrix may run.

Examples:
  matrix lun format file:/srv/lun1.img file:/srv/lun2.img --matrix prod
  matrix lun format file:/a/lun1.img file:/b/lun2.img file:/c/lun3.img --matrix prod --partitions 3
  matrix lun format file:/srv/lun3.img --name lun3 --into file:/srv/lun1.img`,
    )
    .action(format)
  withJson(withNode(command.command('show')))
    .description(
      'which node sees which LUN by which path; or, of LUNs given by URL, label, nodes and membership database',
    )
    .argument(
      '[url...]',
      'LUNs that are read here, whether or not nodes run (default: the nodes of the running matrix are asked)',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  matrix lun show --config var/demo/n1.toml\n  matrix lun show file:/srv/lun1.img',
    )
    .action(show)
  withJson(withConfig(command.command('add')))
    .description('add a LUN to the running matrix: labels it, and asks the matrixd of this machine')
    .argument('<url>', 'the LUN, such as file:/srv/lun3.img')
    .option('--name <name>', 'its matrix-wide name (default: that of its label, or the next free one of lun1, lun2, …)')
    .option('--force', 'overwrite a label of another matrix, or other content, that is there')
    .addHelpText(
      'after',
      `
Every node has to reach it: where its configuration names it under luns, or at this very URL. Nodes remember where they found it. Made by
a command that was interrupted, it is taken as it is. A filesystem on it is made with matrix fs create, while no node runs.

Example:
  matrix lun add file:/srv/lun3.img --name lun3 --config var/demo/n1.toml`,
    )
    .action(add)
  withJson(withConfig(command.command('import')))
    .description(
      'take a LUN that bears a label of the running matrix back into it, such as one that was removed; nothing is written to it',
    )
    .argument('<url>', 'the LUN, such as file:/srv/lun3.img (matrix lun scan finds it)')
    .addHelpText(
      'after',
      `
A LUN without a label, or with that of another matrix, is taken by matrix lun add. Filesystems do not come with it: a LUN can be removed only
once none is on it.

Example:
  matrix lun import file:/srv/lun3.img --config var/demo/n1.toml`,
    )
    .action(importOne)
  withJson(withConfig(command.command('scan')))
    .description('what lies where LUNs may be, and whether the running matrix has it; reads only')
    .argument('[place...]', 'folders or URLs (default: the folders of the configured LUNs)')
    .addHelpText('after', '\nExample:\n  matrix lun scan /srv/luns --config var/demo/n1.toml')
    .action(scan)
  withJson(withConfig(command.command('grow')))
    .description('use the whole of a LUN of the running matrix whose device has become larger')
    .argument('<name>', 'its matrix-wide name (matrix status)')
    .addHelpText(
      'after',
      `
Enlarge it at the storage first, and have every node see its new size. The filesystem on it has the space at once.

Example:
  truncate --size 200G /srv/lun2.img
  matrix lun grow lun2 --config var/demo/n1.toml`,
    )
    .action(grow)
  withJson(withConfig(command.command('drain')))
    .description(
      'move what a filesystem has on a LUN to its other LUNs, while it is in use, until it needs the LUN no more',
    )
    .argument('<name>', 'its matrix-wide name (matrix status)')
    .option('--stop', 'do not drain it (any more): new data goes there again')
    .addHelpText(
      'after',
      `
From the start of it nothing new is written there. Interrupted (Ctrl-C, or the node dies) it stands still; run again, on any node, it goes
on. The first LUN of a filesystem carries its journals and checkpoints, and cannot be drained. Afterwards: matrix lun remove.

Examples:
  matrix lun drain lun2 --config var/demo/n1.toml
  matrix lun drain lun2 --stop --config var/demo/n1.toml`,
    )
    .action(drain)
  withJson(withConfig(command.command('remove')))
    .description('take a LUN that no filesystem uses out of the running matrix: every node closes it')
    .argument('<name>', 'its matrix-wide name (matrix status)')
    .addHelpText(
      'after',
      `
Once this has ended no node does any I/O to it. Its label stays: to use the LUN elsewhere, matrix lun format --force. Take its URL out of
the configurations, too.

Example:
  matrix lun remove lun3 --config var/demo/n1.toml`,
    )
    .action(remove)
  return command
}

async function format(
  urls: readonly string[],
  { matrix, into, name: given, partitions, force, json }: FormatOptions,
): Promise<void> {
  if ((matrix === undefined) === (into === undefined)) {
    throw new UsageError('say either --matrix NAME, to begin a new matrix, or --into URL, to add to one')
  }
  const lunNames = given ?? urls.map((_, index) => `lun${index + 1}`)
  if (lunNames.length !== urls.length) {
    throw new UsageError(`${urls.length} LUNs and ${lunNames.length} names; give one --name per LUN, or none`)
  }
  const luns: NamedLun[] = urls.map((url, index) => ({ url, name: lunNames[index]! }))
  const labels = matrix
    ? await formatMatrix({ matrixName: matrix, luns, partitions: Number(partitions) as 1 | 3, force })
    : await addLuns({ into: into as readonly string[], luns, force })
  if (json) return sayJson(labels.map((label, index) => ({ url: urls[index], ...label })))
  labels.forEach((label, index) => {
    const bears = label.partitions > 0 ? `, ${describePartitions(label)}` : ''
    say(`${urls[index]} is now LUN ${label.lunName} of matrix ${label.matrixName}: ${formatSize(label.size)}${bears}`)
  })
}

async function add(
  url: string,
  { name, force, json, ...node }: NodeOptions & JsonOption & { readonly name?: string; readonly force?: boolean },
): Promise<void> {
  const lun = await addLun({ url, name, force }, (request) => ask(node, request), explain)
  sayResult(
    json,
    { url, ...lun },
    `${url} is LUN ${lun.name} of matrix ${lun.matrixName}, ${formatSize(lun.size)}: every node has opened it`,
  )
}

async function importOne(url: string, { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const lun = await importLun(url, (request) => ask(node, request), explain)
  sayResult(
    json,
    { url, ...lun },
    `${url} is LUN ${lun.name} of matrix ${lun.matrixName} again, ${formatSize(lun.size)}: every node has opened it`,
  )
}

async function remove(name: string, { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const lun = await removeLun(name, (request) => ask(node, request), explain)
  sayResult(json, lun, `LUN ${lun.name} is none of matrix ${lun.matrixName} any more: every node has closed it`)
}

async function scan(places: readonly string[], { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const matrix = await lunsOf((request) => ask(node, request))
  const found = await scanLuns(places.length > 0 ? places : placesOf(lunUrls({ config: configFile(node) })), matrix)
  sayResult(json, found, describeFound(found))
}

async function grow(name: string, { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  const bytes = await growLun(name, (request) => ask(node, request), explain)
  sayResult(
    json,
    { lun: name, bytes },
    bytes > 0 ? `LUN ${name} is used whole: its filesystem has ${formatSize(bytes)} more` : `LUN ${name} is used whole`,
  )
}

async function drain(
  name: string,
  { stop = false, json, ...node }: NodeOptions & JsonOption & { readonly stop?: boolean },
): Promise<void> {
  const asking: AskNode = (request) => ask(node, request)
  if (stop) {
    const bytes = await stopDraining(name, asking, explain)
    sayResult(json, { lun: name, bytes }, `LUN ${name} is not drained any more: new data goes there again`)
    return
  }
  await drainLun(name, asking, explain)
  sayResult(
    json,
    { lun: name },
    `LUN ${name} is drained: no filesystem is on it. Take it out of the matrix with: matrix lun remove ${name}`,
  )
}

/** What is no result. */
export function explain(line: string): void {
  process.stderr.write(`matrix: ${line}\n`)
}

async function show(urls: readonly string[], { json, ...node }: NodeOptions & JsonOption): Promise<void> {
  if (urls.length === 0) {
    const seen = await lunsSeen((request) => ask(node, request))
    sayResult(json, seen, describeSeen(seen))
    return
  }
  const shown = []
  for (const url of urls) shown.push(await examine(url))
  if (json) sayJson(shown)
  else shown.forEach((lun) => say(describe(lun)))
  if (shown.some(({ error }) => error !== undefined)) process.exitCode = 1
}

type Shown = {
  readonly url: string
  readonly label?: LabelRead['label']
  readonly damagedCopies?: LabelRead['damaged']
  readonly nodes?: readonly NodeSeen[]
  readonly database?: Awaited<ReturnType<MembershipStore['read']>>
  readonly error?: string
}

/** What can be read of a LUN, however damaged: each part that cannot be is an error beside those that can. */
async function examine(url: string): Promise<Shown> {
  const lun = await openLun(url, realHost)
  let shown: Shown = { url }
  try {
    const { label, damaged } = await readLabel(lun)
    shown = { url, label, damagedCopies: damaged }
    if (label.partitions === 0) return shown
    // each partition by itself: what it holds, not what a majority says
    const partitions = new Partitions([lun], { clock: realClock, timings: defaultTimings })
    shown = { ...shown, nodes: await nodesOn(partitions) }
    return { ...shown, database: await new MembershipStore(partitions, toolLog).read() }
  } catch (error) {
    if (!isMatrixError(error)) throw error
    return { ...shown, error: error.message }
  } finally {
    await lun.close()
  }
}

function describePartitions({ partitions }: Pick<Label, 'partitions'>): string {
  return partitions === 1 ? 'bears the membership partition' : 'bears one of three membership partitions'
}

function describe({ url, label, damagedCopies = [], nodes, database, error }: Shown): string {
  const lines = [url]
  if (label) {
    lines.push(
      `  LUN ${label.lunName} (${label.lunUuid}) of matrix ${label.matrixName} (${label.matrixUuid})`,
      `  ${formatSize(label.size)}, label revision ${label.revision}${label.partitions > 0 ? `, ${describePartitions(label)}` : ''}`,
    )
    if (damagedCopies.length > 0) lines.push(`  label copy ${damagedCopies.join(', ')} is damaged; the other is used`)
  }
  if (nodes) lines.push(indent(describeNodes(nodes)))
  if (database) {
    const { term, generation, luns, filesystems, pending } = database
    lines.push(`  SAN generation ${generation}, written in term ${term} of the SAN locks`)
    lines.push(
      indent(
        formatTable(
          ['LUN', 'size', 'uuid'],
          luns.map(({ name, size, uuid }) => [name, formatSize(size), uuid]),
        ),
      ),
    )
    if (pending) lines.push(`  ${describePending(pending)}`)
    lines.push(indent(describeFilesystems(database)))
    if (filesystems.length === 0) lines.push('  make a filesystem with: matrix fs create')
  }
  if (error) lines.push(`  ${error}`)
  return lines.join('\n')
}

export function describeNodes(nodes: readonly NodeSeen[]): string {
  if (nodes.length === 0) return 'no node has ever used it'
  const rows = nodes.map(
    ({ nodeName, slot, seen, incarnation, hostName, process: { pid }, address: { host, port } }) => {
      return [nodeName, String(slot), seen, `${host}:${port}`, `pid ${pid} on ${hostName}`, String(incarnation)]
    },
  )
  return formatTable(['node', 'slot', 'state', 'mesh', 'process', 'incarnation'], rows)
}

export function describeFilesystems(database: NonNullable<Shown['database']>): string {
  if (database.filesystems.length === 0) return 'no filesystems'
  const nameOf = (uuid: string) => database.luns.find((lun) => lun.uuid === uuid)?.name ?? uuid
  const rows = database.filesystems.map(({ name, luns, draining, slots, journalBytes, checkpointBytes, error }) => {
    const used = luns.filter((uuid) => uuid !== null)
    const on = used.map((uuid) => (draining?.includes(uuid) ? `${nameOf(uuid)} (draining)` : nameOf(uuid)))
    const sizes = [String(slots), formatSize(journalBytes), formatSize(checkpointBytes)]
    return [name, on.join(', '), ...sizes, error ?? 'sound']
  })
  return formatTable(['filesystem', 'LUNs', 'slots', 'journal', 'checkpoint', 'state'], rows)
}

function indent(text: string): string {
  return text.replace(/^/gm, '  ')
}
