/**
 * The label of a LUN: what makes it one of ours (R37). Two copies, each in a sealed sector: A right after the boot sector, B in
 * the last whole sector of the size that the label records.
 *
 * Reading judges both copies. Copy A tells where copy B is. Without it B is at the end of the device, unless that has grown since: then the probe sectors, which are written all the
 * time a LUN is used, have its labelled size.
 *
 * One intact copy is enough; the other is reported as damaged and rewritten by `repairLabel`.
 * Writing: B before A, each durable. A crash in between leaves one intact copy of the new label beside the old label or
 * nothing; the higher revision wins, so the label is then the new one.
 *
 * An unlabelled or foreign LUN is never written without an explicit `force`: `formatLun` looks at the label and at the first
 * 8 MiB, and refuses whatever it finds there that is not zero.
 */

import { MatrixError } from '../base/errors.ts'
import { defineLayout, type SealFormat, seal, type Unsealed, unseal } from '../base/layout.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../base/limits.ts'
import { formatSize, MiB } from '../base/units.ts'
import type { Lun } from './lun.ts'
import { FS_AREA_OFFSET, LABEL_A_OFFSET, labelBOffset, MIN_LUN_SIZE, PROBE_OFFSET } from './lun-layout.ts'
import { decodeProbe, type ProbeRecord } from './probe-sector.ts'

/** Longest name of a matrix or a LUN, bytes of UTF-8. */
const NAME_BYTES = 64

export const labelFormat: SealFormat = { magic: 'MxfsLabl', version: 1 }

export const labelLayout = defineLayout([
  { name: 'matrixUuid', type: 'uuid', meaning: 'of the matrix that owns the LUN' },
  { name: 'lunUuid', type: 'uuid', meaning: 'of the LUN; never used again' },
  { name: 'size', type: 'u53', meaning: 'of the LUN when it was labelled, bytes' },
  { name: 'revision', type: 'u32', meaning: 'counts the writings of the label; the higher copy wins' },
  {
    name: 'partitions',
    type: 'u32',
    meaning: 'membership partitions of the matrix when the LUN bears one: 1 or 3; else 0',
  },
  { name: 'matrixName', type: 'utf8', size: NAME_BYTES, meaning: 'name of the matrix' },
  { name: 'lunName', type: 'utf8', size: NAME_BYTES, meaning: 'matrix-wide name of the LUN' },
])

type LabelRecord = ReturnType<typeof labelLayout.decode>

export type Label = {
  readonly matrixUuid: string
  readonly matrixName: string
  readonly lunUuid: string
  /** Matrix-wide name: every node reaches the LUN by it, whatever its local path. */
  readonly lunName: string
  /** Bytes of the LUN when it was labelled. */
  readonly size: number
  /** How many membership partitions the matrix has, when this LUN bears one of them; else 0. */
  readonly partitions: 0 | 1 | 3
  readonly revision: number
}

export type LabelCopy = 'A' | 'B'

/** `damaged`: copies that `repairLabel` should rewrite. */
export type LabelRead = { readonly label: Label; readonly damaged: readonly LabelCopy[] }

export type LabelOptions = {
  readonly matrixUuid: string
  readonly matrixName: string
  readonly lunUuid: string
  readonly lunName: string
  readonly partitions: Label['partitions']
}

/**
 * The label of `lun`, judged. Rejects with MatrixError 'lun-unlabelled', 'lun-foreign' (of another matrix than `matrixUuid`),
 * 'lun-damaged' (both copies, or the device is smaller than its label says), 'format-version', 'lun-too-small' or 'lun-io'.
 */
export async function readLabel(lun: Lun, matrixUuid?: string): Promise<LabelRead> {
  if (lun.size < MIN_LUN_SIZE) throw tooSmall(lun)
  const first = await readCopy(lun, LABEL_A_OFFSET)
  const second = await readSecond(lun, first)
  const copies = [
    { name: 'A', copy: first },
    { name: 'B', copy: second },
  ] as const
  let best: Label | undefined
  for (const { copy } of copies) {
    if (copy.kind === 'ok' && (!best || copy.label.revision > best.revision)) best = copy.label
  }
  if (!best) throw explain(lun, first, second)
  const label = best
  if (matrixUuid !== undefined && label.matrixUuid !== matrixUuid) {
    throw new MatrixError(
      'lun-foreign',
      `${lun.identity} belongs to matrix "${label.matrixName}" (${label.matrixUuid}) as LUN "${label.lunName}", not to ${matrixUuid}; it is left alone`,
    )
  }
  if (lun.size < label.size) {
    throw new MatrixError(
      'lun-damaged',
      `${lun.identity} is truncated: LUN "${label.lunName}" was labelled with ${label.size} bytes (${formatSize(label.size)}), the device now has ${lun.size} (${formatSize(lun.size)}); restore its size before using it`,
    )
  }
  const damaged = copies
    .filter(({ copy }) => copy.kind !== 'ok' || copy.label.revision !== label.revision)
    .map(({ name }) => name)
  return { label, damaged }
}

/** Rewrites the copies that `readLabel` found damaged. */
export async function repairLabel(lun: Lun, { label, damaged }: LabelRead): Promise<void> {
  for (const copy of damaged) await writeCopy(lun, copy, label)
}

/**
 * The label of a LUN that has been used with `before` bytes says that it has `size` from now on, no less than before. Copy B goes to the new end
 * first: as long as copy A tells of the old one, that is where copy B is. Rejects as `readLabel`.
 */
export async function enlargeLabel(lun: Lun, before: number, size: number): Promise<void> {
  const first = await readCopy(lun, LABEL_A_OFFSET)
  const second = await readCopy(lun, labelBOffset(first.kind === 'ok' ? first.label.size : before))
  const copies = [first, second].flatMap((copy) => (copy.kind === 'ok' ? [copy.label] : []))
  const label = copies.sort((a, b) => b.revision - a.revision)[0]
  if (!label) throw explain(lun, first, second)
  if (label.size >= size) return
  const enlarged = { ...label, size, revision: label.revision + 1 }
  await writeCopy(lun, 'B', enlarged)
  await writeCopy(lun, 'A', enlarged)
}

/**
 * Labels `lun` for a matrix and empties its membership partition. Refuses, unless `force`, with 'exists' when it is labelled for
 * this matrix, 'lun-foreign' when it is labelled for another or holds anything in its first 8 MiB; 'lun-too-small' and 'config' (names) always.
 */
export async function formatLun(lun: Lun, options: LabelOptions, { force = false } = {}): Promise<Label> {
  if (lun.size < MIN_LUN_SIZE) throw tooSmall(lun)
  for (const name of [options.matrixName, options.lunName]) {
    if (name !== '' && Buffer.byteLength(name) <= NAME_BYTES && !name.includes('\0')) continue
    throw new MatrixError('config', `"${name}" is no name: it needs 1 to ${NAME_BYTES} bytes`)
  }
  const former = await readCopy(lun, LABEL_A_OFFSET)
  const latter = await readCopy(lun, labelBOffset(lun.size))
  if (!force) await refuseContent(lun, [former, latter], options.matrixUuid)
  const revision = Math.max(revisionOf(former), revisionOf(latter)) + 1
  const label: Label = { ...options, size: lun.size, revision }
  // without a label the LUN is nobody's, so a crash half-way leaves no old leases or database under a new label
  const zeroes = Buffer.alloc(1 * MiB)
  await lun.write(labelBOffset(lun.size), [zeroes.subarray(0, SECTOR_SIZE)], { purpose: 'label', durable: true })
  await lun.write(LABEL_A_OFFSET, [zeroes.subarray(0, SECTOR_SIZE)], { purpose: 'label', durable: true })
  await lun.write(LABEL_A_OFFSET, [zeroes.subarray(LABEL_A_OFFSET)], { purpose: 'erase' })
  for (let offset = 1 * MiB; offset < FS_AREA_OFFSET; offset += zeroes.length) {
    await lun.write(offset, [zeroes], { purpose: 'erase' })
  }
  await lun.flush()
  await writeCopy(lun, 'B', label)
  await writeCopy(lun, 'A', label)
  return label
}

/** Copy A alone, in one read: undefined when it is not sound, and `readLabel` has to judge. Rejects with MatrixError 'lun-io'. */
export async function readFirstLabel(lun: Lun): Promise<Label | undefined> {
  const copy = await readCopy(lun, LABEL_A_OFFSET)
  return copy.kind === 'ok' ? copy.label : undefined
}

type Copy = { readonly kind: 'ok'; readonly label: Label } | Exclude<Unsealed, { kind: 'ok' }>

async function readCopy(lun: Lun, offset: number): Promise<Copy> {
  const sector = Buffer.alloc(SECTOR_SIZE)
  await lun.read(offset, sector)
  const found = unseal(labelFormat, sector)
  if (found.kind !== 'ok') return found
  if (found.body.length < labelLayout.size) return { kind: 'damaged', why: 'shorter than a label' }
  const record = labelLayout.decode(found.body)
  const why = judge(record)
  return why ? { kind: 'damaged', why } : { kind: 'ok', label: record as Label }
}

/** What is impossible in a label whose checksum is right; undefined when nothing is. */
function judge(record: LabelRecord): string | undefined {
  if (record.size < MIN_LUN_SIZE) return `impossible size ${record.size}`
  if (record.lunName === '' || record.matrixName === '') return 'a name is empty'
  if (![0, 1, 3].includes(record.partitions)) return `${record.partitions} membership partitions`
  return undefined
}

async function readSecond(lun: Lun, first: Copy): Promise<Copy> {
  if (first.kind === 'ok') return readCopy(lun, labelBOffset(Math.min(first.label.size, lun.size)))
  const atEnd = await readCopy(lun, labelBOffset(lun.size))
  if (atEnd.kind === 'ok') return atEnd
  let best: Extract<Copy, { kind: 'ok' }> | undefined
  for (const { labelledSize, lunUuid } of await probesOf(lun)) {
    if (labelledSize < MIN_LUN_SIZE || labelledSize > lun.size) continue
    const copy = await readCopy(lun, labelBOffset(labelledSize))
    if (copy.kind !== 'ok' || copy.label.lunUuid !== lunUuid || copy.label.size !== labelledSize) continue
    if (!best || copy.label.revision > best.label.revision) best = copy
  }
  return best ?? atEnd
}

/** One for each size that they name. */
async function probesOf(lun: Lun): Promise<readonly ProbeRecord[]> {
  const sectors = Buffer.alloc(MAX_SLOTS * SECTOR_SIZE)
  await lun.read(PROBE_OFFSET, sectors)
  const bySize = new Map<number, ProbeRecord>()
  for (let at = 0; at < sectors.length; at += SECTOR_SIZE) {
    const record = decodeProbe(sectors.subarray(at, at + SECTOR_SIZE))
    if (record) bySize.set(record.labelledSize, record)
  }
  return [...bySize.values()]
}

async function writeCopy(lun: Lun, copy: LabelCopy, label: Label): Promise<void> {
  const body = labelLayout.encode(label)
  const offset = copy === 'A' ? LABEL_A_OFFSET : labelBOffset(label.size)
  await lun.write(offset, [seal(labelFormat, body, SECTOR_SIZE)], { purpose: 'label', durable: true })
}

function revisionOf(copy: Copy): number {
  return copy.kind === 'ok' ? copy.label.revision : 0
}

function tooSmall(lun: Lun): MatrixError {
  return new MatrixError(
    'lun-too-small',
    `${lun.identity} has ${formatSize(lun.size)}; a LUN needs at least ${formatSize(MIN_LUN_SIZE)}`,
  )
}

/** Why neither copy is a label. */
function explain(lun: Lun, first: Copy, second: Copy): MatrixError {
  for (const copy of [first, second]) {
    if (copy.kind === 'newer') {
      return new MatrixError(
        'format-version',
        `${lun.identity} was labelled by a newer matrixfs (label version ${copy.version}, this one knows up to ${labelFormat.version}); upgrade this node`,
      )
    }
  }
  for (const copy of [first, second]) {
    if (copy.kind === 'damaged') {
      return new MatrixError(
        'lun-damaged',
        `${lun.identity}: the label is damaged (${copy.why}) and its other copy is not intact either; restore one of the two sectors (byte ${LABEL_A_OFFSET} or ${labelBOffset(lun.size)})`,
      )
    }
  }
  const blank = first.kind === 'blank' && second.kind === 'blank'
  return new MatrixError(
    'lun-unlabelled',
    `${lun.identity} bears no matrixfs label (${blank ? 'it is blank there' : 'something else is there'}); \`matrix lun format\` writes one`,
  )
}

/** How much of a LUN is looked at before it is formatted, bytes: file systems and partition tables show themselves there. */
const LOOK_BYTES = 8 * MiB

async function refuseContent(lun: Lun, copies: readonly Copy[], matrixUuid: string): Promise<void> {
  for (const copy of copies) {
    if (copy.kind !== 'ok') continue
    const { matrixName, lunName } = copy.label
    const code = copy.label.matrixUuid === matrixUuid ? 'exists' : 'lun-foreign'
    throw new MatrixError(
      code,
      `${lun.identity} already is LUN "${lunName}" of matrix "${matrixName}"; only \`--force\` overwrites it`,
    )
  }
  const chunk = Buffer.alloc(1 * MiB)
  const zeroes = Buffer.alloc(chunk.length)
  for (let offset = 0; offset < LOOK_BYTES; offset += chunk.length) {
    await lun.read(offset, chunk)
    if (chunk.equals(zeroes)) continue
    const at = offset + chunk.findIndex((byte) => byte !== 0)
    throw new MatrixError(
      'lun-foreign',
      `${lun.identity} is not empty: there is something at byte ${at}; only \`--force\` overwrites it`,
    )
  }
}
