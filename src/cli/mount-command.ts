/** `matrix mount` and `matrix umount`: what the running matrixd of this machine is asked to do. */
import { realpath } from 'node:fs/promises'
import { connect } from 'node:net'
import { basename, dirname, join, resolve } from 'node:path'
import { Command } from 'commander'
import * as v from 'valibot'
import {
  type ControlAnswer,
  type ControlRequest,
  controlAnswer,
  controlSocket,
  loadConfig,
} from '../../config/index.ts'
import { MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import { UsageError } from './option-values.ts'
import { formatTable, say } from './table.ts'

const DEFAULT_CONFIG = '/etc/matrixfs/matrixd.toml'

type Options = { readonly config: string }

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

function withConfig(command: Command): Command {
  return command.option('-c, --config <file>', 'configuration file of the matrixd that is asked', DEFAULT_CONFIG)
}

async function mount(name: string | undefined, directory: string | undefined, { config }: Options): Promise<void> {
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

async function umount(directory: string, { config, lazy }: Options & { readonly lazy: boolean }): Promise<void> {
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

/** Throws MatrixError: the one of matrixd, or that it does not run. */
async function ask(config: string, request: ControlRequest): Promise<Extract<ControlAnswer, { ok: true }>> {
  const { stateDir, node } = loadConfig(config)
  const line = await exchange(controlSocket(stateDir), `${JSON.stringify(request)}\n`, node.name)
  const answer = v.parse(v.pipe(v.string(), v.parseJson(), controlAnswer), line)
  if (answer.ok) return answer
  throw new MatrixError(answer.code as MatrixErrorCode, answer.message)
}

function exchange(path: string, line: string, node: string): Promise<string> {
  return new Promise((done, reject) => {
    const socket = connect(path, () => socket.write(line))
    let text = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      text += chunk
      if (!text.endsWith('\n')) return
      socket.destroy()
      done(text)
    })
    socket.on('error', (cause: NodeJS.ErrnoException) => reject(explain(cause, path, node)))
    socket.on('end', () => reject(new MatrixError('peer-gone', `matrixd of ${node} ended before it answered`)))
  })
}

function explain(cause: NodeJS.ErrnoException, path: string, node: string): Error {
  if (cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED') {
    return new MatrixError(
      'not-found',
      `matrixd of node ${node} does not run on this machine (${path}); start it first`,
    )
  }
  if (cause.code === 'EACCES') return new MatrixError('not-found', `${path} is for root alone: use sudo`)
  return cause
}
