/**
 * How a command is told which LUNs it works on: by URL, by a node's configuration file, or by the folder of a demo. With the latter two the
 * LUNs that were added while the node ran, and that it remembers, are meant, too.
 */
import type { Command } from 'commander'
import { type AddedLun, loadConfig, readAddedLuns } from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import { DemoLayout } from './demo/layout.ts'
import { UsageError } from './option-values.ts'

export type LunOptions = { readonly lun?: readonly string[]; readonly config?: string; readonly dir?: string }

export function addLunOptions(command: Command): Command {
  return command
    .option('--lun <url...>', 'the LUNs, such as file:/srv/lun1.img; one of them bears the membership partition')
    .option('-c, --config <file>', "or: a node's configuration file, whose LUNs are meant")
    .option('--dir <dir>', 'or: the folder of a demo, whose LUNs are meant')
}

/** Throws UsageError unless exactly one way was used. */
export function lunUrls({ lun, config, dir }: LunOptions): readonly string[] {
  const given = [lun, config, dir].filter((option) => option !== undefined)
  if (given.length !== 1) throw new UsageError('say which LUNs are meant by one of --lun, --config and --dir')
  if (config !== undefined) {
    const { luns, stateDir } = loadConfig(config)
    return withAdded(
      luns.map(({ url }) => url),
      readAddedLuns(stateDir),
    )
  }
  if (lun !== undefined) return lun
  const layout = new DemoLayout(dir as string)
  const settings = layout.readSettings()
  if (!settings) throw new MatrixError('not-found', `there is no demo in ${layout.dir}`)
  return withAdded(
    layout.luns(settings).map(({ url }) => url),
    layout.addedLuns(settings),
  )
}

function withAdded(urls: readonly string[], added: readonly AddedLun[]): readonly string[] {
  return [...new Set([...urls, ...added.map(({ url }) => url)])]
}
