/**
 * Devices of a node that services depend on (R31), asked by programs of the system: a read that hangs in the kernel holds up a process of its own, and
 * no thread of this one.
 *
 *   disk      a block device or file: its first block is read past the cache, where the filesystem knows how; a directory: it is listed
 *   gateway   one echo by ICMP (RFC 792) is answered
 */
import { MatrixError } from '../../base/errors.ts'
import type { ProgramEnd, Programs } from '../../platform/index.ts'

const BLOCK = 4096
/** Its end: so many lines of its output say why. */
const REASON_LINES = 3

/** Resolves when it exits with 0; rejects with what it has said last. */
export async function succeeds(programs: Programs, run: Parameters<Programs['run']>[0]): Promise<void> {
  const end = await programs.run({ ...run, outputLines: REASON_LINES })
  const why = failureOf(end, run.timeoutMs)
  if (why !== undefined) throw new MatrixError(end.how === 'timeout' ? 'timeout' : 'peer-gone', why)
}

/** Undefined when it has succeeded. */
export function failureOf({ how, code, output }: ProgramEnd, timeoutMs: number): string | undefined {
  if (how === 'exited' && code === 0) return undefined
  const said = output.join(' ').trim().slice(-200)
  const ended = how === 'exited' ? `exit code ${code}` : how === 'timeout' ? `no end within ${timeoutMs} ms` : how
  return said === '' ? ended : `${ended}: ${said}`
}

export async function probeDisk(
  programs: Programs,
  path: string,
  timeoutMs: number,
  abort: AbortSignal,
): Promise<void> {
  const program = (name: string, ...args: string[]) =>
    succeeds(programs, { path: name, args, env: { LC_ALL: 'C' }, timeoutMs, abort })
  const read = (...how: string[]) =>
    program('/bin/dd', `if=${path}`, 'of=/dev/null', `bs=${BLOCK}`, 'count=1', 'status=none', ...how)
  const refusal = (error: Error) => error
  const direct = await read('iflag=direct').then(() => undefined, refusal)
  // not every filesystem, nor every dd, reads past the cache
  const found = /Invalid argument|iflag/i.test(direct?.message ?? '')
    ? await read().then(() => undefined, refusal)
    : direct
  if (/Is a directory/i.test(found?.message ?? '')) await program('/bin/ls', '-f', '--', path)
  else if (found) throw found
}

export function probeGateway(programs: Programs, host: string, timeoutMs: number, abort: AbortSignal): Promise<void> {
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1000)))
  const args = ['-n', '-q', '-c', '1', '-W', seconds, host]
  return succeeds(programs, { path: '/bin/ping', args, env: { LC_ALL: 'C' }, timeoutMs, abort })
}
