/** What mounts of one filesystem say to each other on the mesh channel 'volume'. */
import * as v from 'valibot'
import type { Ino } from '../base/ids.ts'
import { parseBody } from '../cluster/index.ts'

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))

/** In JSON; every field is a hint. */
const noteShape = v.object({
  fsid: count,
  /** The sender's journal is durable up to there. */
  durable: v.optional(count),
  /** Somebody who waits at the receiver for bytes of this inode may get them now. */
  wake: v.optional(count),
  published: v.optional(v.object({ sequence: count, vector: v.array(v.tuple([count, count])) })),
})
export type VolumeNote = v.InferOutput<typeof noteShape>

/** Throws MatrixError 'protocol'. */
export function volumeNote(payload: Buffer): VolumeNote {
  return parseBody(noteShape, jsonOf(payload), 'note about a filesystem')
}

function jsonOf(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString())
  } catch {
    return undefined
  }
}

/** What a mount asks its peer: of which inodes that client holds or waits for bytes. */
export type VolumeQuestion = { readonly fsid: number; readonly rangedBy: string }

/** Throws MatrixError 'protocol'. */
export function volumeQuestion(body: unknown): VolumeQuestion {
  return parseBody(v.object({ fsid: count, rangedBy: v.string() }), body, 'a question about a filesystem')
}

const inosShape = v.array(count)

/** The answer. Throws MatrixError 'protocol'. */
export function inosOfAnswer(body: unknown): Ino[] {
  return parseBody(inosShape, body, 'the inodes of a client')
}

/** A lock message with the filesystem that it is about. */
export function withFsid(fsid: number, payload: Buffer): Buffer {
  const out = Buffer.allocUnsafe(4 + payload.length)
  out.writeUInt32LE(fsid, 0)
  payload.copy(out, 4)
  return out
}
