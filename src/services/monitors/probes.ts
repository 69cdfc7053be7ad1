/**
 * How a service or device is asked whether it lives. Each probe resolves when it does, and rejects with the reason when not; time-outs are its caller's.
 *
 *   tcp      somebody accepts a connection
 *   nfs      NULL of NFS version 3 (RFC 1813 3.3.0; RFC 5531 11: one record over TCP) is answered with success
 *   http(s)  HEAD of a path is answered, with any status below 500; whose certificate it is does not matter: it is asked whether it serves
 *   webdav   OPTIONS of a path is answered with a DAV header (RFC 4918 10.1), or by asking who it is
 *   others   spoken-probes.ts, dns-probe.ts, device-probes.ts
 *   script   exits with 0
 */
import { MatrixError } from '../../base/errors.ts'
import type { Dialer, PeerAddress, Programs } from '../../platform/index.ts'
import { converse, type Judge, type Turn } from './conversation.ts'
import { probeDisk, probeGateway, succeeds } from './device-probes.ts'
import { dnsTurn } from './dns-probe.ts'
import type { ProbeTarget } from './service-check.ts'
import { spokenTurns } from './spoken-probes.ts'

/** What probes reach the world by. */
export type ProbeTools = {
  readonly dialer: Dialer
  /** The same through TLS. */
  readonly tls: Dialer
  readonly programs: Programs
  /** Why this node cannot use a LUN or filesystem of the matrix; undefined when it can. */
  readonly whyNot: (kind: 'lun' | 'filesystem', name: string) => string | undefined
}

export type ProbePatience = {
  /** Of each step, ms. */
  readonly limitMs: number
  /** Nobody waits any more. */
  readonly end: AbortSignal
  /** For scripts. */
  readonly env?: Readonly<Record<string, string>> | undefined
}

export async function probe(
  { dialer, tls, programs, whyNot }: ProbeTools,
  target: ProbeTarget,
  { limitMs, end, env = {} }: ProbePatience,
): Promise<void> {
  const talk = async (by: Dialer, at: PeerAddress, turns: readonly Turn[]) =>
    converse(await by.dial(at, limitMs), turns, end)
  switch (target.kind) {
    case 'tcp':
      return talk(dialer, target.at, [])
    case 'nfs':
      return talk(dialer, target.at, [{ say: nullCall, judge: judgeNull }])
    case 'http':
    case 'https':
      return talk(target.kind === 'https' ? tls : dialer, target.at, [{ say: ask('HEAD', target), judge: judgeHead }])
    case 'webdav':
      return talk(dialer, target.at, [{ say: ask('OPTIONS', target), judge: judgeOptions }])
    case 'dns':
      return talk(dialer, target.at, [dnsTurn(target.query)])
    case 'script':
      return succeeds(programs, { path: target.script, args: ['probe'], env, timeoutMs: limitMs, abort: end })
    case 'disk':
      return probeDisk(programs, target.path, limitMs, end)
    case 'gateway':
      return target.port === undefined
        ? probeGateway(programs, target.host, limitMs, end)
        : talk(dialer, { host: target.host, port: target.port }, [])
    case 'lun':
    case 'filesystem': {
      const reason = whyNot(target.kind, target.of)
      if (reason !== undefined) throw new MatrixError('peer-gone', reason)
      return
    }
    default:
      return talk(dialer, target.at, spokenTurns[target.kind])
  }
}

const XID = 0x6d667662

/** xid, CALL, RPC version 2, program NFS, version 3, procedure NULL, no credentials, no verifier. */
const nullCall = words(0x80000000 + 40, XID, 0, 2, 100003, 3, 0, 0, 0, 0, 0)

/** xid, REPLY, MSG_ACCEPTED, a verifier, SUCCESS. */
function judgeNull(answer: Buffer): ReturnType<Judge> {
  if (answer.length < 28) return 'more'
  const word = (index: number) => answer.readUInt32BE(4 * index)
  const isRight = word(1) === XID && word(2) === 1 && word(3) === 0 && word(5) === 0 && word(6) === 0
  return isRight ? undefined : `not an answer to NULL: ${answer.subarray(0, 28).toString('hex')}`
}

function ask(method: string, { at, path }: { readonly at: PeerAddress; readonly path: string }): Buffer {
  const host = at.host.includes(':') ? `[${at.host}]` : at.host
  return Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: ${host}:${at.port}\r\nConnection: close\r\n\r\n`)
}

function statusOf(text: string): number | undefined {
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(text) ?? []
  return status === undefined ? undefined : Number(status)
}

function judgeHead(answer: Buffer): ReturnType<Judge> {
  const text = answer.toString('latin1')
  if (!text.includes('\r\n')) return 'more'
  const status = statusOf(text)
  if (status === undefined) return 'not an answer of HTTP'
  return status < 500 ? undefined : `status ${status}`
}

function judgeOptions(answer: Buffer): ReturnType<Judge> {
  const text = answer.toString('latin1')
  const status = statusOf(text)
  if (text.includes('\r\n') && status === undefined) return 'not an answer of HTTP'
  if (!text.includes('\r\n\r\n')) return 'more'
  if (status === 401 || ((status as number) < 300 && /\r\ndav:[^\r]*\b1\b/i.test(text))) return undefined
  return (status as number) < 300 ? 'it does not speak WebDAV' : `status ${status}`
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}
