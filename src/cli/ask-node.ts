/** Asking the running matrixd of this machine, over its control socket (config/control.ts). */
import { connect } from 'node:net'
import type { Command } from 'commander'
import * as v from 'valibot'
import {
  type ControlAnswer,
  type ControlRequest,
  controlAnswer,
  controlSocket,
  loadConfig,
} from '../../config/index.ts'
import { MatrixError, type MatrixErrorCode } from '../base/errors.ts'

const DEFAULT_CONFIG = '/etc/matrixfs/matrixd.toml'

export type NodeOptions = { readonly config: string }

export function withConfig(command: Command): Command {
  return command.option('-c, --config <file>', 'configuration file of the matrixd that is asked', DEFAULT_CONFIG)
}

/** Throws MatrixError: the one of matrixd, or that it does not run. */
export async function ask(config: string, request: ControlRequest): Promise<Extract<ControlAnswer, { ok: true }>> {
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
