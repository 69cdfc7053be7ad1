/**
 * `matrix target run`: the target (src/san/target) as a process of its own, with its files and its control socket, until it is stopped.
 *
 * Control: a line of JSON is a request, a line of JSON its answer, in the order of the requests (src/san/target/control.ts).
 */
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import {
  CHAP_SECRET_MIN,
  formatAddress,
  loadTargetConfig,
  onStopSignal,
  type RunState,
  type TargetConfig,
  writeRunFile,
} from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { realListener } from '../../platform/real/byte-listener.ts'
import { realHost } from '../../platform/real/host.ts'
import { createLog } from '../../platform/real/log.ts'
import { realProcesses } from '../../platform/real/processes.ts'
import { answerRequest, IscsiTarget, STORE_BYTES, type TargetChap } from '../../san/index.ts'
import { say } from '../table.ts'

/** Longest request, characters. */
const MAX_LINE = 65_536
/** The socket is its owner's alone. */
const UMASK = 0o177

/** `runFile`: kept current, for whoever started it (config/run-file.ts). */
export async function serveTarget(configFile: string, runFile?: string): Promise<void> {
  const become = (state: RunState): void => {
    if (runFile !== undefined) writeRunFile(runFile, { process: realProcesses.self(), state })
  }
  const config = loadTargetConfig(configFile)
  become('starting')
  const chap = config.chap && (await readSecrets(config.chap))
  const { clock, files, random } = realHost
  const target = await IscsiTarget.start(
    {
      name: config.name,
      portals: config.portals,
      portalGroups: config.portalGroups,
      luns: config.luns.map(({ size, ...lun }) => ({
        ...lun,
        path: makeFile(lun.path, size),
        reservationsPath: makeFile(`${lun.path}.reservations`, STORE_BYTES),
      })),
      ...(chap && { chap }),
    },
    { clock, files, random, listener: realListener, log: createLog({ level: 'info', destination: process.stderr }) },
  )
  const control = await openControl(config.control, target)
  for (const { number } of config.luns)
    for (const portal of target.portals) say(`iscsi://${formatAddress(portal)}/${config.name}/${number}`)
  say('target ready')
  become('ready')
  await new Promise<void>((resolve) => onStopSignal({ stop: () => resolve(), hurry: () => process.exit(1) }))
  become('stopping')
  control.close()
  await target.stop()
  become('stopped')
}

/** Sparse, and grown when it is shorter. */
function makeFile(path: string, bytes: number | undefined): string {
  if (bytes === undefined) return path
  mkdirSync(dirname(path), { recursive: true })
  const fd = openSync(path, 'a+')
  try {
    if (fstatSync(fd).size < bytes) ftruncateSync(fd, bytes)
  } finally {
    closeSync(fd)
  }
  return path
}

async function readSecrets({ user, secretFile, target }: NonNullable<TargetConfig['chap']>): Promise<TargetChap> {
  const read = async (path: string): Promise<string> => {
    const secret = await realHost.secret(path)
    if (secret.length >= CHAP_SECRET_MIN) return secret
    throw new MatrixError(
      'config',
      `found ${secret.length} characters in the first line of ${path}; allowed is at least ${CHAP_SECRET_MIN}`,
    )
  }
  const secret = await read(secretFile)
  if (!target) return { user, secret }
  return { user, secret, target: { user: target.user, secret: await read(target.secretFile) } }
}

async function openControl(path: string, target: IscsiTarget): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true })
  // the portals are ours, so whatever lies there was left by a dead process
  rmSync(path, { force: true })
  const server = createServer((socket) => serve(socket, target))
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new MatrixError('config', `the control socket ${path} cannot be made: ${cause.message}`, { cause })),
    )
    // bound within the call, so nobody else's file gets this mask
    const mask = process.umask(UMASK)
    server.listen(path, resolve)
    process.umask(mask)
  })
  return server
}

function serve(socket: Socket, target: IscsiTarget): void {
  let text = ''
  let last: Promise<void> = Promise.resolve()
  socket.on('error', () => socket.destroy())
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    const lines = text.split('\n')
    text = lines.pop() as string
    for (const line of lines)
      last = last.then(async () => {
        const answer = await answerRequest(target, line)
        if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`)
      })
    if (text.length > MAX_LINE) socket.destroy()
  })
}
