/** `matrix mount` and `matrix umount`: what the running matrixd of this machine is asked to do. */
import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { ask, type NodeOptions, withConfig, withNode } from './ask-node.ts'
import { UsageError } from './option-values.ts'
import { formatTable, type JsonOption, sayResult, withJson } from './table.ts'

export function mountCommand(): Command {
  return withJson(withNode(new Command('mount')))
    .description(
      'mount a filesystem of the matrix on this machine now (Linux); without arguments: list what is mounted',
    )
    .argument('[name]', 'name of the filesystem')
    .argument('[directory]', 'where; it has to exist')
    .addHelpText(
      'after',
      `
The running matrixd does it, as root; it lasts until matrixd stops. [[mounts]] in its configuration makes it last (docs/mount.md).

Examples:
  matrix mount home /home
  matrix mount home /mnt --config var/demo/n1.toml`,
    )
    .action(mount)
}

export function umountCommand(): Command {
  return withJson(withConfig(new Command('umount')))
    .description('unmount what the matrixd of this machine has mounted')
    .argument('<directory>', 'where it is mounted')
    .option('--lazy', 'even when programs use it: they lose it', false)
    .addHelpText('after', '\nExample:\n  matrix umount /home')
    .action(umount)
}

async function mount(
  name: string | undefined,
  directory: string | undefined,
  { json, ...node }: NodeOptions & JsonOption,
): Promise<void> {
  if (name === undefined) {
    const { mounts = [] } = await ask(node, { command: 'mounts' })
    const rows = mounts.map((each) => [each.filesystem, each.directory])
    return sayResult(
      json,
      mounts,
      rows.length === 0 ? 'nothing is mounted' : formatTable(['filesystem', 'mounted at'], rows),
    )
  }
  if (directory === undefined) throw new UsageError('say where to mount it: matrix mount NAME DIRECTORY')
  const answer = await ask(node, { command: 'mount', filesystem: name, directory: resolve(directory) })
  sayResult(json, { filesystem: name, directory: answer.directory }, `${name} is mounted at ${answer.directory}`)
}

async function umount(
  directory: string,
  { lazy, json, ...node }: NodeOptions & JsonOption & { readonly lazy: boolean },
): Promise<void> {
  const place = await placeOf(resolve(directory))
  await ask(node, { command: 'umount', directory: place, lazy })
  sayResult(json, { directory: place }, `${place} is unmounted`)
}

/** The real path, without touching what is mounted there: it may not answer. */
async function placeOf(path: string): Promise<string> {
  try {
    return join(await realpath(dirname(path)), basename(path))
  } catch {
    return path
  }
}
