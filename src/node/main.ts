#!/usr/bin/env -S node --min-semi-space-size=32 --max-semi-space-size=32
/**
 * `matrixd`: one node of a matrix. Reads its configuration, starts the node, and stops it cleanly on SIGTERM or SIGINT. A
 * later signal stops it at once, which costs nothing but a recovery by its peers. So does anything unexpected: a node that
 * cannot trust its own state must not write.
 */
import process from 'node:process'
import { Command } from 'commander'
import {
  exitCodeOf,
  exitCodes,
  formatAddress,
  loadConfig,
  type MatrixdConfig,
  onStopSignal,
  programVersion,
  type RunState,
  readRunFile,
  showError,
  writeRunFile,
} from '../../config/index.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { LogLevels } from '../platform/index.ts'
import { createLog } from '../platform/real/log.ts'
import { realProcesses } from '../platform/real/processes.ts'

type Options = { readonly config: string; readonly check?: boolean; readonly runFile?: string }

const program = new Command('matrixd')
  .description('One node of a matrix: reads and writes the shared LUNs, and serves them over NFS and HTTP.')
  .version(programVersion())
  .requiredOption('-c, --config <file>', 'configuration file (TOML; docs/configuration.md has every key)')
  .option('--check', 'only check the configuration file, and say what it means')
  .option('--run-file <file>', 'keep this file current with pid, start time and state of the process (JSON)')
  .allowExcessArguments(false)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? exitCodes.ok : exitCodes.usage))
  .addHelpText(
    'after',
    `
Prints one line, matrixd ready, on standard output once all exports are served; the log goes to standard error.
SIGTERM and SIGINT stop the node cleanly; another one, more than a second later, stops it at once.
SIGHUP has the exports of the configuration file read again, as matrix export reload does.

Exit codes: ${exitCodes.ok} stopped cleanly, ${exitCodes.halted} fenced, or cut off from the LUNs: start it again, ${exitCodes.failed} could not start, ${exitCodes.usage} wrong option, ${exitCodes.bug} a bug, ${exitCodes.config} wrong configuration

Example:
  matrixd --config /etc/matrixfs/matrixd.toml`,
  )
  .parse()

const options = program.opts<Options>()

try {
  const config = loadConfig(options.config)
  if (options.check) process.stdout.write(describe(config))
  else await run(config, options.runFile)
} catch (error) {
  process.stderr.write(`${showError('matrixd', error)}\n`)
  process.exit(exitCodeOf(error))
}

async function run(config: MatrixdConfig, runFile: string | undefined): Promise<void> {
  const logLevels = new LogLevels(config.log.level, config.log.levels)
  const log = createLog({ level: logLevels, destination: process.stderr }).child({ node: config.node.name })
  const report = (state: RunState): void => {
    if (runFile) writeRunFile(runFile, { process: realProcesses.self(), state })
  }
  const former = runFile === undefined ? undefined : readRunFile(runFile)
  if (former && realProcesses.state(former.process) === 'running') {
    throw new MatrixError('in-use', `${runFile} belongs to a running matrixd, pid ${former.process.pid}; stop it first`)
  }
  report('starting')

  const crash = (error: unknown): never => {
    log.error({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }, 'stopping at once')
    return process.exit(isMatrixError(error) ? exitCodes.failed : exitCodes.bug)
  }
  process.on('uncaughtException', crash)
  process.on('unhandledRejection', crash)

  let reload: () => void = () => {}
  let stop: (() => Promise<void>) | undefined
  let stopping = false
  onStopSignal({
    stop(signal) {
      log.info({ signal }, 'stopping')
      stopping = true
      // Not started yet: what it has done so far is undone by nobody's help at its next start.
      if (!stop) process.exit(exitCodes.ok)
      report('stopping')
      stop().then(() => {
        report('stopped')
        log.info({}, 'stopped')
        process.exit(exitCodes.ok)
      }, crash)
    },
    reload: () => reload(),
    hurry(signal) {
      log.info({ signal }, 'stopping at once')
      process.exit(exitCodes.failed)
    },
  })

  // Loaded here: help and checks need none of it.
  const { startNode } = await import('./node.ts')
  const node = await startNode(config, {
    ...{ log, logLevels },
    onStopped(reason) {
      log.error({ reason }, 'the node had to stop')
      report('halted')
      process.exit(exitCodes.halted)
    },
  })
  stop = () => node.stop()
  reload = () => node.reload()
  await node.ready
  if (stopping) return
  report('ready')
  process.stdout.write('matrixd ready\n')
}

/** What the checked file says, for people. */
function describe(config: MatrixdConfig): string {
  const { matrix, node, nodes, luns, nfs, http, admin, timings } = config
  const lines = [
    `${config.file} is right:`,
    `  node ${node.name} (slot ${node.slot}) of matrix ${matrix.name}, mesh at ${[node.mesh, ...node.otherMeshes].map(formatAddress).join(', ')}`,
    `  nodes: ${nodes.map(({ name }) => name).join(', ') || 'found by their lease sectors'}`,
    `  LUNs: ${luns.map(({ url }) => url).join(', ')}`,
    `  lease ${timings.leaseMs} ms; taken over at the latest ${timings.observedDeadMs} ms after the last sign of life`,
    `  NFS: ${nfs ? formatAddress(nfs.listen) : 'not served'}`,
    `  HTTP: ${http ? `${formatAddress(http.listen)}, ${http.tls ? 'TLS' : 'without TLS'}, users ${http.users ? `in ${http.users}` : 'are all anonymous'}` : 'not served'}`,
    `  admin plane: ${admin ? formatAddress(admin.listen) : 'not served'}`,
    ...config.mounts.map((each) => `  mount ${each.directory}: filesystem ${each.filesystem}`),
    ...config.exports.map((each) => `  export ${each.path}: filesystem ${each.filesystem}, ${each.access}`),
  ]
  return `${lines.join('\n')}\n`
}
