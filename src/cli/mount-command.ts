/** `matrix mount` and `matrix umount`: what the running matrixd of this machine is asked to do. */
import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import { ask, type NodeOptions, withConfig } from './ask-node.ts'
import { UsageError } from './option-values.ts'
import { formatTable, say } from './table.ts'

export function mountCommand(): Command {
  return withConfig(new Command('mount'))
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
  return withConfig(new Command('umount'))
    .description('unmount what the matrixd of this machine has mounted')
    .argument('<directory>', 'where it is mounted')
    .option('--lazy', 'even when programs use it: they lose it', false)
    .addHelpText('after', '\nExample:\n  matrix umount /home')
    .action(umount)
}

async function mount(name: string | undefined, directory: string | undefined, { config }: NodeOptions): Promise<void> {
  if (name === undefined) {
    const { mounts = [] } = await ask(config, { command: 'mounts' })
    if (mounts.length === 0) return say('nothing is mounted')
    return say(
      formatTable(
        ['filesystem', 'mounted at'],
        mounts.map((each) => [each.filesystem, each.directory]),
      ),
    )
  }
  if (directory === undefined) throw new UsageError('say where to mount it: matrix mount NAME DIRECTORY')
  const answer = await ask(config, { command: 'mount', filesystem: name, directory: resolve(directory) })
  say(`${name} is mounted at ${answer.directory}`)
}

async function umount(directory: string, { config, lazy }: NodeOptions & { readonly lazy: boolean }): Promise<void> {
  const place = await placeOf(resolve(directory))
  await ask(config, { command: 'umount', directory: place, lazy })
  say(`${place} is unmounted`)
}

/** The real path, without touching what is mounted there: it may not answer. */
async function placeOf(path: string): Promise<string> {
  try {
    return join(await realpath(dirname(path)), basename(path))
  } catch {
    return path
  }
}
