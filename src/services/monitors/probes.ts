/**
 * How a service is asked whether it lives. Each probe resolves when it does, and rejects with the reason when not; time-outs are its caller's.
 *
 *   tcp    somebody accepts a connection
 *   nfs    NULL of NFS version 3 (RFC 1813 3.3.0; RFC 5531 11: one record over TCP) is answered with success
 *   http   HEAD / is answered, with any status below 500
 */
import { MatrixError } from '../../base/errors.ts'
import type { ByteStream, Dialer, PeerAddress } from '../../platform/index.ts'
import type { ServiceKind } from './service-check.ts'

export type Probe = (dialer: Dialer, at: PeerAddress, limitMs: number) => Promise<void>

/** Nothing that is asked here is answered with more, bytes. */
const ANSWER_MAX = 64 * 1024

export const probes: Readonly<Record<ServiceKind, Probe>> = {
  async tcp(dialer, at, limitMs) {
    const stream = await dialer.dial(at, limitMs)
    stream.reset()
  },
  nfs: (dialer, at, limitMs) => ask(dialer, at, limitMs, nullCall, judgeNull),
  http: (dialer, at, limitMs) =>
    ask(
      dialer,
      at,
      limitMs,
      Buffer.from(`HEAD / HTTP/1.1\r\nHost: ${at.host}\r\nConnection: close\r\n\r\n`),
      judgeHead,
    ),
}

/** 'more': the answer is not whole yet; undefined: it is right; else what is wrong. */
type Judge = (answer: Buffer) => 'more' | undefined | string

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

function judgeHead(answer: Buffer): ReturnType<Judge> {
  const text = answer.toString('latin1')
  if (!text.includes('\r\n')) return 'more'
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(text) ?? []
  if (status === undefined) return 'not an answer of HTTP'
  return Number(status) < 500 ? undefined : `status ${status}`
}

async function ask(dialer: Dialer, at: PeerAddress, limitMs: number, question: Buffer, judge: Judge): Promise<void> {
  const stream = await dialer.dial(at, limitMs)
  try {
    await answerOf(stream, question, judge)
  } finally {
    stream.reset()
  }
}

function answerOf(stream: ByteStream, question: Buffer, judge: Judge): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0)
    stream.onData = (chunk) => {
      answer = Buffer.concat([answer, chunk])
      const found = answer.length > ANSWER_MAX ? 'a longer answer than there can be' : judge(answer)
      if (found === undefined) resolve()
      else if (found !== 'more') reject(new MatrixError('protocol', found))
    }
    stream.onClose = (reason) => reject(new MatrixError('peer-gone', `no answer: ${reason}`))
    stream.write([question])
  })
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}
