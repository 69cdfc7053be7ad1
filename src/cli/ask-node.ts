/**
 * Asking a running matrixd: the one of this machine, over its control socket (config/control.ts), or with `--node` that of any machine, by its admin
 * plane (ask-plane.ts).
 */
import { connect } from 'node:net'
import { type Command, Option } from 'commander'
import * as v from 'valibot'
import {
  type ControlRequest,
  type ControlResult,
  controlAnswer,
  controlSocket,
  loadConfig,
} from '../../config/index.ts'
import { MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import { askPlane, type PlaneOptions } from './ask-plane.ts'
import { UsageError } from './option-values.ts'

const DEFAULT_CONFIG = '/etc/matrixfs/matrixd.toml'
const NODE_OPTIONS = 'Which node is asked:'

export type NodeOptions = {
  readonly config?: string
  readonly node?: string
  readonly user?: string
  readonly passwordFile?: string
  readonly ca?: string
}

/** The command asks the matrixd of this machine: it changes something there. */
export function withConfig(command: Command): Command {
  return command.addOption(
    new Option(
      '-c, --config <file>',
      `configuration file of the matrixd that is asked (default: ${DEFAULT_CONFIG})`,
    ).helpGroup(NODE_OPTIONS),
  )
}

/** The command looks only, so any node may be asked. */
export function withNode(command: Command): Command {
  return withPlane(withConfig(command))
}

/** The same for a command that has another --config. */
export function withPlane(command: Command): Command {
  const option = (flags: string, about: string): Option => new Option(flags, about).helpGroup(NODE_OPTIONS)
  return command
    .addOption(option('--node <url>', 'or: the admin plane of any node, such as https://n1:20190 (or MATRIX_NODE)'))
    .addOption(option('--user <name>', 'who asks there (or MATRIX_USER); without a name the password is a token'))
    .addOption(
      option('--password-file <file>', 'file with the password or token in its first line (or MATRIX_PASSWORD_FILE)'),
    )
    .addOption(option('--ca <file>', 'certificates to trust instead of those of the system, PEM (or MATRIX_CA)'))
}

/** The configuration file of this machine's node. */
export function configFile({ config }: NodeOptions): string {
  return config ?? DEFAULT_CONFIG
}

/** The admin plane that is asked; undefined: the matrixd of this machine. Said on the command line it counts more than the environment does. */
export function planeOf(options: NodeOptions, env: NodeJS.ProcessEnv = process.env): PlaneOptions | undefined {
  if (options.node !== undefined && options.config !== undefined)
    throw new UsageError('say which node is asked by one of --node and --config')
  const url = options.node ?? (options.config === undefined ? env['MATRIX_NODE'] : undefined)
  if (url === undefined || url === '') return undefined
  const user = options.user ?? env['MATRIX_USER']
  const passwordFile = options.passwordFile ?? env['MATRIX_PASSWORD_FILE']
  return { url, user, passwordFile, ca: options.ca ?? env['MATRIX_CA'] }
}

/** Throws MatrixError: the one of matrixd, or that it does not run. */
export async function ask(options: NodeOptions, request: ControlRequest): Promise<ControlResult> {
  const plane = planeOf(options)
  return plane ? askPlane(plane, request) : askHere(configFile(options), request)
}

/** An answer of the admin plane, by its path in the API. */
export async function report<T>(
  options: NodeOptions,
  place: Extract<ControlRequest, { command: 'report' }>['place'],
  schema: v.GenericSchema<unknown, T>,
): Promise<T> {
  const answer = await ask(options, { command: 'report', place })
  const result = v.safeParse(schema, answer.report)
  if (result.success) return result.output
  const [issue] = result.issues
  const where = v.getDotPath(issue) ?? 'all of it'
  throw new MatrixError(
    'protocol',
    `the node's answer ${place} is none that this command knows: ${where}: ${issue.message}`,
  )
}

async function askHere(config: string, request: ControlRequest): Promise<ControlResult> {
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
