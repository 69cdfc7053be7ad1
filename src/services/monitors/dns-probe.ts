/**
 * DNS, over TCP, which every server has to answer (RFC 7766 5): a query for one name in a message of two bytes of length (RFC 1035 4.2.2). Well with
 * an answer to it that says NOERROR or NXDOMAIN (4.1.1): a server that answers SERVFAIL or REFUSED serves nobody.
 */
import type { Turn } from './conversation.ts'

const ID = 0x6d66
const RECURSION_DESIRED = 0x0100
const TYPE_A = 1
const CLASS_IN = 1
const RESPONSE = 0x8000
const CODES = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'] as const

/** `name`: up to 253 characters, labels of at most 63 each; a dot at the end makes no difference. */
export function dnsTurn(name: string): Turn {
  const labels = name.split('.').filter((label) => label !== '')
  const question = Buffer.concat([
    ...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label, 'latin1')])),
    Buffer.from([0, 0, TYPE_A, 0, CLASS_IN]),
  ])
  const header = Buffer.alloc(2 + 12)
  header.writeUInt16BE(12 + question.length, 0)
  header.writeUInt16BE(ID, 2)
  header.writeUInt16BE(RECURSION_DESIRED, 4)
  header.writeUInt16BE(1, 6) // one question
  return { say: Buffer.concat([header, question]), judge }
}

function judge(answer: Buffer): 'more' | undefined | string {
  if (answer.length < 2 || answer.length < 2 + answer.readUInt16BE(0)) return 'more'
  if (answer.length < 14) return 'a shorter answer than there can be'
  const flags = answer.readUInt16BE(4)
  if (answer.readUInt16BE(2) !== ID || (flags & RESPONSE) === 0) return 'not an answer to the query'
  const code = flags & 0xf
  return code === 0 || code === 3 ? undefined : `it says ${CODES[code] ?? `code ${code}`}`
}
