/**
 * Checksums (RFC 9530), SHA-256. `Want-Repr-Digest` of a GET or HEAD is answered with `Repr-Digest` of the whole file, which is read for it
 * once and remembered by its entity tag. `Repr-Digest` or `Content-Digest` of a PUT is held against what has arrived; when it differs nothing is stored.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Ino } from '../base/ids.ts'
import { isPromise } from '../base/maybe-promise.ts'
import type { MatrixFs } from '../metadata/index.ts'
import { type ExportCall, header } from './call.ts'
import { etagOf } from './etag.ts'
import { HttpFailure } from './failure.ts'
import { PIECE_BYTES } from './limits.ts'

const MAX_REMEMBERED = 10_000
/** By entity tag, which no other content of the filesystem ever has. */
const remembered = new WeakMap<MatrixFs, Map<string, string>>()

/** True when the client wants SHA-256: it names it, with a preference above 0. */
export function wantsDigest(call: ExportCall): boolean {
  const wish = /(?:^|,)\s*sha-256\s*(?:=\s*(\d+))?\s*(?:,|$)/i.exec(header(call, 'want-repr-digest') ?? '')
  return wish !== null && wish[1] !== '0'
}

/** Sets the header for a file in this version, when the client wants it; takes it back for another version. */
export async function offerDigest(call: ExportCall, ino: Ino, etag: string): Promise<void> {
  if (!wantsDigest(call)) return
  call.ctx.remove('Repr-Digest')
  const known = remembered.get(call.fs)?.get(etag) ?? (await digestOf(call, ino, etag))
  if (known !== undefined) call.ctx.set('Repr-Digest', `sha-256=:${known}:`)
}

/** undefined when the file changes meanwhile. */
async function digestOf({ fs, caller, res }: ExportCall, ino: Ino, etag: string): Promise<string | undefined> {
  const hash = createHash('sha256')
  for (let offset = 0; ; ) {
    if (res.destroyed) return undefined
    const reading = fs.read(caller, ino, offset, PIECE_BYTES, true)
    const { pieces, length, eof, inode } = isPromise(reading) ? await reading : reading
    if (etagOf(inode) !== etag) return undefined
    for (const piece of pieces) hash.update(piece)
    offset += length
    if (eof || length === 0) break
    // a large file that is in memory leaves others their turns
    await new Promise<void>((resolve) => setImmediate(resolve))
  }
  const digest = hash.digest('base64')
  const known = remembered.get(fs) ?? new Map<string, string>()
  remembered.set(fs, known)
  if (known.size >= MAX_REMEMBERED) known.delete(known.keys().next().value as string)
  known.set(etag, digest)
  return digest
}

/** What a request says of its body: `update` with all of it, in order, then `check`. */
export class BodyDigest {
  readonly #hash: Hash | undefined
  readonly #expected: readonly string[]

  /** Throws HttpFailure 400 for a header that cannot be read. Other algorithms are passed over. */
  constructor(call: ExportCall) {
    const texts = [header(call, 'repr-digest'), header(call, 'content-digest')].filter((text) => text !== undefined)
    this.#expected = texts.flatMap((text) => {
      const [, digest] = /(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/=]*):/.exec(text) ?? []
      if (digest !== undefined && Buffer.from(digest, 'base64').length !== 32)
        throw new HttpFailure(400, 'a SHA-256 digest has 32 bytes')
      return digest ?? []
    })
    this.#hash = this.#expected.length > 0 ? createHash('sha256') : undefined
  }

  update(piece: Buffer): void {
    this.#hash?.update(piece)
  }

  /** Throws HttpFailure 400 when something else has arrived. */
  check(): void {
    const found = this.#hash?.digest('base64')
    if (found !== undefined && this.#expected.some((expected) => expected !== found))
      throw new HttpFailure(400, `what has arrived has the digest sha-256=:${found}:`)
  }
}
