/** `matrix target`: an iSCSI target for tests and demonstrations (target/serve.ts), and asking a running one for what goes wrong. */
import { connect } from 'node:net'
import { Command } from 'commander'
import { loadTargetConfig } from '../../config/index.ts'
import { MatrixError, type MatrixErrorCode } from '../base/errors.ts'
import type { TargetAnswer } from '../san/index.ts'
import { sayJson } from './table.ts'
import { serveTarget } from './target/serve.ts'

type ConfigOption = { readonly config: string }

export function targetCommand(): Command {
  const command = new Command('target')
    .description('an iSCSI target of our own, for tests and demonstrations; for production, use your array')
    .addHelpText(
      'after',
      `
What the configuration holds, and what can be asked of a running target: docs/iscsi-target.md.

Examples:
  matrix target run --config target.toml
  matrix target ask --config target.toml '{"command":"status"}'
  matrix target ask --config target.toml '{"command":"cut","initiator":"iqn.2026-11.net.matrixfs:n2"}'
  matrix target ask --config target.toml '{"command":"power-loss","downMs":2000,"survive":0.5}'`,
    )
  command
    .command('run')
    .description('run it, until Ctrl-C; says "target ready" once it serves')
    .requiredOption('-c, --config <file>', 'configuration of the target')
    .option('--run-file <file>', 'kept current while it runs: its process, and whether it serves')
    .addHelpText('after', '\nExample:\n  matrix target run --config target.toml')
    .action(({ config, runFile }: ConfigOption & { readonly runFile?: string }) => serveTarget(config, runFile))
  command
    .command('ask')
    .description('ask the running one: a request and its answer are JSON')
    .argument('<request>', 'such as {"command":"status"}')
    .requiredOption('-c, --config <file>', 'configuration of the target')
    .addHelpText('after', `\nExample:\n  matrix target ask --config target.toml '{"command":"status"}'`)
    .action(async (request: string, { config }: ConfigOption) => {
      const { ok: _, ...answer } = await askTarget(loadTargetConfig(config).control, request)
      sayJson(answer)
    })
  return command
}

/** `path`: of its control socket; `request`: JSON. Rejects with what it answers. */
export async function askTarget(path: string, request: string): Promise<Extract<TargetAnswer, { ok: true }>> {
  const line = await new Promise<string>((done, reject) => {
    const socket = connect(path, () => socket.write(`${request.replaceAll('\n', ' ')}\n`))
    let text = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (!text.endsWith('\n')) return
      socket.destroy()
      done(text)
    })
    socket.on('end', () => reject(new MatrixError('peer-gone', 'the target ended before it answered')))
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      const isGone = cause.code === 'ENOENT' || cause.code === 'ECONNREFUSED'
      reject(isGone ? new MatrixError('not-found', `no target runs with this configuration (${path})`) : cause)
    })
  })
  const answer = JSON.parse(line) as TargetAnswer
  if (answer.ok) return answer
  throw new MatrixError(answer.code as MatrixErrorCode, answer.message)
}
