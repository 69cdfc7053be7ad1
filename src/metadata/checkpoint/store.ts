/**
 * Checkpoints of a filesystem on its first LUN: finding the newest, loading it, publishing a new one.
 *
 * Publishing, and what a crash leaves:
 *   1. the image goes, in chunks, into the half of the own area that is not needed   — that half's old checkpoint is gone
 *   2. flush                                                                         — still nobody looks at it
 *   3. its manifest, durable                                                         — now it is the newest
 *
 * Invariants
 * 1. One node publishes at a time (the caller holds lock C:0); sequence numbers only grow. The manifest of a node that died
 *    publishing may land late, with the same number as the next one: both are whole, either may be loaded.
 * 2. Slot areas have one writer. A late write of a dead node damages at most a half that its own slot is to write again.
 * 3. The newest checkpoint stays whole while another is written; when the one before it must give way, the newest has just been
 *    read back and found whole. With journals trimmed by the second newest only, one damaged checkpoint never loses anything.
 */

import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { zstdDecompress, zstdDecompressSync } from 'node:zlib'
import { brokenRules } from '../../base/broken-rules.ts'
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Slot } from '../../base/ids.ts'
import { SECTOR_SIZE } from '../../base/limits.ts'
import { formatSize, MiB } from '../../base/units.ts'
import type { Vector } from '../../base/vector.ts'
import type { Lun, Seal } from '../../san/index.ts'
import { CHUNK_BYTES, type FsLayout } from '../fs-layout.ts'
import {
  CHUNK_PAYLOAD,
  chunkCount,
  decodeChunk,
  decodeManifest,
  encodeChunk,
  encodeManifest,
  type Manifest,
} from './format.ts'
import type { PackedImage } from './pack.ts'

/** A published checkpoint, as nodes tell each other. */
export type Published = { readonly sequence: number; readonly vector: Vector }

/** Images below this are decompressed within the call: a thread would cost more, and a simulation stays repeatable. */
const SYNC_BYTES = 4 * MiB
const decompressAsync = promisify(zstdDecompress)

export class CheckpointStore {
  readonly #lun: Lun
  readonly #layout: FsLayout

  constructor(lun: Lun, layout: FsLayout) {
    this.#lun = lun
    this.#layout = layout
  }

  /** Every valid manifest, the newest first. One read. */
  async manifests(): Promise<Manifest[]> {
    const { slots, fsid } = this.#layout.record
    const sectors = Buffer.allocUnsafe(slots * 2 * SECTOR_SIZE)
    await this.#lun.read(this.#layout.manifestStart(0, 0), sectors)
    const out: Manifest[] = []
    for (let slot = 0; slot < slots; slot++)
      for (const half of [0, 1]) {
        const at = (2 * slot + half) * SECTOR_SIZE
        const manifest = decodeManifest(sectors.subarray(at, at + SECTOR_SIZE), fsid, slot, half)
        if (manifest) out.push(manifest)
      }
    return out.sort((a, b) => b.sequence - a.sequence)
  }

  /** Reads a checkpoint's image; throws MatrixError 'checkpoint-damaged'. */
  async load(manifest: Manifest): Promise<Buffer> {
    if (manifest.storedBytes > this.#layout.record.checkpointBytes)
      throw new MatrixError('checkpoint-damaged', `checkpoint ${manifest.sequence} claims to exceed its area`)
    const stored = Buffer.concat(await this.#chunks(manifest))
    let image: Buffer
    try {
      const limits = { maxOutputLength: Math.max(1, manifest.imageBytes) }
      image =
        manifest.imageBytes < SYNC_BYTES ? zstdDecompressSync(stored, limits) : await decompressAsync(stored, limits)
    } catch (error) {
      throw new MatrixError('checkpoint-damaged', `checkpoint ${manifest.sequence} cannot be decompressed`, {
        cause: error,
      })
    }
    if (image.length !== manifest.imageBytes || !createHash('sha256').update(image).digest().equals(manifest.hash))
      throw new MatrixError('checkpoint-damaged', `checkpoint ${manifest.sequence} does not match its hash`)
    return image
  }

  /** Writes an image, of which everything is durable, as checkpoint `sequence`. Throws MatrixError 'no-space' when it is too large. */
  async publish(slot: Slot, sequence: number, packed: PackedImage, seals: readonly Seal[]): Promise<void> {
    const { stored, imageBytes, vector, hash } = packed
    const { fsid, checkpointBytes } = this.#layout.record
    const chunks = chunkCount(stored.length)
    if (chunks * CHUNK_BYTES > checkpointBytes)
      throw new MatrixError(
        'no-space',
        `the metadata takes ${formatSize(stored.length)} compressed, a checkpoint area has ${formatSize(checkpointBytes)}`,
      )
    const half = await this.#halfFor(slot)
    const start = this.#layout.checkpointStart(slot, half)
    for (let index = 0; index < chunks; index++) {
      const payload = stored.subarray(index * CHUNK_PAYLOAD, (index + 1) * CHUNK_PAYLOAD)
      const chunk = encodeChunk({ fsid, sequence, index }, payload)
      await this.#lun.write(start + index * CHUNK_BYTES, [chunk], { purpose: 'checkpoint' })
    }
    if (!brokenRules.imageBeforeManifest) await this.#lun.flush()
    const manifest = encodeManifest({
      ...{ fsid, slot, half, sequence, vector, hash },
      seals: lastPerSlot(seals),
      storedBytes: stored.length,
      imageBytes,
    })
    await this.#lun.write(this.#layout.manifestStart(slot, half), [manifest], { purpose: 'checkpoint', durable: true })
  }

  /** The half of the own area that may be overwritten (invariant 3). */
  async #halfFor(slot: Slot): Promise<number> {
    const all = await this.manifests()
    const newest = all[0]
    const own = all.filter((manifest) => manifest.slot === slot)
    if (own.length < 2) return own.length === 0 ? 0 : 1 - (own[0] as Manifest).half
    const older = own[1] as Manifest
    if (brokenRules.halvesAlternate) return (own[0] as Manifest).half
    if (older !== all[1]) return older.half
    try {
      if (!brokenRules.newestReadBack) await this.#chunks(newest as Manifest)
      return older.half
    } catch (error) {
      // own[0] is the newest one here, and it is the damaged one: it gives way
      if (isMatrixError(error, 'checkpoint-damaged')) return 1 - older.half
      throw error
    }
  }

  async #chunks(manifest: Manifest): Promise<Buffer[]> {
    const start = this.#layout.checkpointStart(manifest.slot, manifest.half)
    const out: Buffer[] = []
    for (let index = 0, rest = manifest.storedBytes; rest > 0; index++, rest -= CHUNK_PAYLOAD) {
      const block = Buffer.allocUnsafe(CHUNK_BYTES)
      await this.#lun.read(start + index * CHUNK_BYTES, block)
      const payload = decodeChunk(block, { fsid: manifest.fsid, sequence: manifest.sequence, index })
      if (payload.length !== Math.min(rest, CHUNK_PAYLOAD))
        throw new MatrixError(
          'checkpoint-damaged',
          `chunk ${index} of checkpoint ${manifest.sequence} has the wrong length`,
        )
      out.push(payload)
    }
    return out
  }
}

function lastPerSlot(seals: readonly Seal[]): Seal[] {
  const last = new Map<Slot, Seal>()
  for (const seal of seals) if (seal.incarnation >= (last.get(seal.slot)?.incarnation ?? 0)) last.set(seal.slot, seal)
  return [...last.values()]
}
