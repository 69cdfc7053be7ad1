/**
 * A checkpoint on the LUN (docs/formats/filesystem.md): a manifest, one sealed sector, and the image it names, compressed,
 * in sealed chunks in the half of the slot's checkpoint area with the manifest's number.
 */
import { assert } from '../../base/assert.ts'
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Lsn, Slot } from '../../base/ids.ts'
import { defineLayout, seal, sealHeader, unseal } from '../../base/layout.ts'
import { MAX_SLOTS, SECTOR_SIZE } from '../../base/limits.ts'
import { fromPairs, toPairs, type Vector } from '../../base/vector.ts'
import type { Seal } from '../../san/index.ts'
import { CHUNK_BYTES } from '../fs-layout.ts'

const MANIFEST = { magic: 'MXCKMANI', version: 1 }
const CHUNK = { magic: 'MXCKCHNK', version: 1 }
const HASH_BYTES = 32

export const manifestLayout = defineLayout([
  { name: 'fsid', type: 'u32', meaning: 'filesystem' },
  { name: 'slot', type: 'u16', meaning: 'whose area it is in' },
  { name: 'half', type: 'u16', meaning: 'half of that area that holds the image: 0 or 1' },
  {
    name: 'sequence',
    type: 'u53',
    meaning: 'number of the checkpoint in the filesystem, from 1; the greatest valid one is the newest',
  },
  { name: 'storedBytes', type: 'u53', meaning: 'compressed image' },
  { name: 'imageBytes', type: 'u53', meaning: 'image' },
  { name: 'chunks', type: 'u32', meaning: 'number of chunks' },
  { name: 'vectorCount', type: 'u16', meaning: 'vector entries that follow' },
  { name: 'sealCount', type: 'u16', meaning: 'seal entries that follow the vector' },
  { name: 'hash', type: 'bytes', size: HASH_BYTES, meaning: 'SHA-256 of the image' },
])
export const vectorEntryLayout = defineLayout([
  { name: 'slot', type: 'u32' },
  { name: 'lsn', type: 'u53', meaning: 'everything before it is in the image' },
])
export const sealEntryLayout = defineLayout([
  { name: 'slot', type: 'u32' },
  { name: 'incarnation', type: 'u53' },
  { name: 'lsn', type: 'u53', meaning: 'end of that incarnation' },
])
export const chunkLayout = defineLayout([
  { name: 'fsid', type: 'u32', meaning: 'filesystem' },
  { name: 'index', type: 'u32', meaning: 'place among the chunks, from 0' },
  { name: 'sequence', type: 'u53', meaning: 'of the checkpoint' },
])

/** Compressed bytes in a full chunk. */
export const CHUNK_PAYLOAD = CHUNK_BYTES - sealHeader.size - chunkLayout.size

export type Manifest = {
  readonly fsid: number
  readonly slot: Slot
  readonly half: number
  readonly sequence: number
  readonly storedBytes: number
  readonly imageBytes: number
  readonly hash: Uint8Array
  readonly vector: Vector
  /** The last seal of each slot that the image was built under: for whoever examines a damaged filesystem. */
  readonly seals: readonly Seal[]
}

export function chunkCount(storedBytes: number): number {
  return Math.ceil(storedBytes / CHUNK_PAYLOAD)
}

export function encodeManifest(manifest: Manifest): Buffer {
  const vector = toPairs(manifest.vector)
  const seals = manifest.seals
  assert(vector.length <= MAX_SLOTS && seals.length <= MAX_SLOTS, 'a vector has an entry per slot at most')
  const head = manifestLayout.encode({
    ...manifest,
    chunks: chunkCount(manifest.storedBytes),
    vectorCount: vector.length,
    sealCount: seals.length,
  })
  const body = [head, ...vector.map(([slot, lsn]) => vectorEntryLayout.encode({ slot, lsn }))]
  return seal(MANIFEST, Buffer.concat([...body, ...seals.map((entry) => sealEntryLayout.encode(entry))]), SECTOR_SIZE)
}

/** Undefined for whatever is no intact manifest of this place. Throws MatrixError 'format-version' for a newer one. */
export function decodeManifest(sector: Buffer, fsid: number, slot: Slot, half: number): Manifest | undefined {
  const found = unseal(MANIFEST, sector)
  if (found.kind === 'newer')
    throw new MatrixError(
      'format-version',
      `a checkpoint has version ${found.version}, this matrixfs knows ${MANIFEST.version}`,
    )
  if (found.kind !== 'ok') return undefined
  try {
    const head = manifestLayout.decode(found.body)
    if (head.fsid !== fsid || head.slot !== slot || head.half !== half || head.chunks !== chunkCount(head.storedBytes))
      return undefined
    let at = manifestLayout.size
    const vector: [Slot, Lsn][] = []
    for (let i = 0; i < head.vectorCount; i++, at += vectorEntryLayout.size) {
      const entry = vectorEntryLayout.decode(found.body, at)
      vector.push([entry.slot, entry.lsn])
    }
    const seals: Seal[] = []
    for (let i = 0; i < head.sealCount; i++, at += sealEntryLayout.size)
      seals.push(sealEntryLayout.decode(found.body, at))
    return { ...head, vector: fromPairs(vector), seals }
  } catch (error) {
    if (isMatrixError(error, 'protocol')) return undefined
    throw error
  }
}

export type ChunkPlace = { readonly fsid: number; readonly sequence: number; readonly index: number }

/** A chunk as it is written, padded to whole sectors. */
export function encodeChunk(place: ChunkPlace, payload: Uint8Array): Buffer {
  return seal(CHUNK, Buffer.concat([chunkLayout.encode(place), payload]), SECTOR_SIZE)
}

/** The payload of the chunk at `place`; throws MatrixError 'checkpoint-damaged'. */
export function decodeChunk(block: Buffer, place: ChunkPlace): Buffer {
  const found = unseal(CHUNK, block)
  if (found.kind === 'ok') {
    const head = found.body.length >= chunkLayout.size ? chunkLayout.decode(found.body) : undefined
    if (head && head.fsid === place.fsid && head.sequence === place.sequence && head.index === place.index)
      return found.body.subarray(chunkLayout.size)
  }
  const what = found.kind === 'damaged' ? found.why : 'something else is there'
  throw new MatrixError('checkpoint-damaged', `chunk ${place.index} of checkpoint ${place.sequence}: ${what}`)
}
