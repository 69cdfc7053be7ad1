/** Sense data, in its fixed and its descriptor form (SPC-4, 4.5), and what it means to a person and to a retry. */

export type Sense = {
  readonly key: number
  /** Additional sense code and its qualifier. */
  readonly asc: number
  readonly ascq: number
}

/** Undefined when there is none, or it is cut off before its codes. */
export function parseSense(data: Buffer): Sense | undefined {
  const form = (data[0] ?? 0) & 0x7f
  if ((form === 0x70 || form === 0x71) && data.length >= 14)
    return { key: data[2]! & 0x0f, asc: data[12]!, ascq: data[13]! }
  if ((form === 0x72 || form === 0x73) && data.length >= 4)
    return { key: data[1]! & 0x0f, asc: data[2]!, ascq: data[3]! }
  return undefined
}

export const senseKey = {
  recoveredError: 0x1,
  notReady: 0x2,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  abortedCommand: 0xb,
  miscompare: 0xe,
} as const

const keys = [
  'no sense',
  'recovered error',
  'not ready',
  'medium error',
  'hardware error',
  'illegal request',
  'unit attention',
  'data protect',
  'blank check',
  'vendor specific',
  'copy aborted',
  'aborted command',
  'reserved',
  'volume overflow',
  'miscompare',
  'completed',
]

/** By code and qualifier, and by code alone. */
const codes: Record<string, string> = {
  '04': 'not ready',
  '0401': 'becoming ready',
  '0403': 'an operator has to do something',
  '0404': 'being formatted',
  '040a': 'this path to it is changing its state',
  '040b': 'this path to it is on standby',
  '040c': 'this path to it is unavailable',
  '0c': 'the write failed',
  '11': 'the read failed: it is damaged there',
  '1d': 'what is there differs',
  '20': 'it does not know this command',
  '21': 'beyond its end',
  '24': 'it does not understand this command',
  '25': 'there is no such logical unit',
  '26': 'it does not understand a parameter',
  '27': 'it is write-protected',
  '29': 'it was switched on or reset',
  '2a': 'its parameters were changed',
  '2a01': 'its mode parameters were changed',
  '2a03': 'its reservations were preempted',
  '2a04': 'its reservations were released',
  '2a05': 'its registrations were preempted',
  '2a09': 'its capacity has changed',
  '2c': 'out of sequence',
  '2f': 'commands of another initiator were cleared',
  '31': 'the medium is damaged',
  '3a': 'it has no medium',
  '3e': 'it does not respond',
  '3f': 'it was changed',
  '44': 'it has failed within',
  '47': 'the transfer was damaged',
  '4b': 'the transfer went wrong',
  '4e': 'two commands overlapped',
  '5d': 'it predicts its failure',
}

export function describeSense({ key, asc, ascq }: Sense): string {
  const [code, qualifier] = [hex(asc), hex(ascq)]
  const meaning = codes[code + qualifier] ?? codes[code]
  return `${keys[key]}${meaning ? `: ${meaning}` : ''} (sense ${hex(key)} ${code} ${qualifier})`
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0')
}
