/** Images as SQLite files: in bytes as checkpoints have them, and on a disk of this node. */
import Database from 'better-sqlite3'
import { MatrixError } from '../../base/errors.ts'
import type { Lsn, Slot } from '../../base/ids.ts'
import type { Vector } from '../../base/vector.ts'

/** Bytes of the header of a SQLite file that say "WAL" (2) or "rollback journal" (1). */
const WRITE_VERSION = 18
const READ_VERSION = 19
/** Page cache of an image in a file, KiB. */
const PAGE_CACHE_KIB = 65_536

/**
 * Of the image in `file`, which its node goes on changing: the state that was committed last, as `serialize` gives it, and the
 * vector that it equals. For another thread. Throws MatrixError 'image-damaged'.
 */
export function snapshotOf(file: string): { readonly vector: Vector; readonly bytes: Buffer } {
  let db: Database.Database | undefined
  try {
    db = new Database(file, { readonly: true, fileMustExist: true })
    // both reads below see the state at the first of them
    db.exec('BEGIN')
    const vector = new Map(db.prepare('SELECT slot, lsn FROM vector').raw().all() as [Slot, Lsn][])
    return { vector, bytes: serialized(db) }
  } catch (cause) {
    throw new MatrixError('image-damaged', `the image ${file} cannot be read: ${String(cause)}`, { cause })
  } finally {
    db?.close()
  }
}

/** The committed state as a file that opens by itself. */
export function serialized(db: Database.Database): Buffer {
  const bytes = db.serialize()
  bytes[WRITE_VERSION] = 1
  bytes[READ_VERSION] = 1
  return bytes
}

/** What is wrong with a serialized image, if anything: every page is looked at. */
export function faultInImage(bytes: Buffer): string | undefined {
  let db: Database.Database | undefined
  try {
    db = new Database(bytes)
    const found = db.pragma('integrity_check(1)', { simple: true }) as string
    return found === 'ok' ? undefined : found
  } catch (error) {
    return String(error)
  } finally {
    db?.close()
  }
}

/** The database goes on in a file at `path`, where none is. Throws MatrixError 'image-damaged'. */
export async function moveTo(source: Database.Database, path: string): Promise<Database.Database> {
  try {
    await source.backup(path)
    source.close()
    const db = new Database(path)
    db.pragma('journal_mode = WAL')
    db.pragma('synchronous = OFF')
    db.pragma(`cache_size = -${PAGE_CACHE_KIB}`)
    return db
  } catch (cause) {
    const why = `the image cannot be written to ${path}: ${String(cause)}; has state_dir room, and may it be written?`
    throw new MatrixError('image-damaged', why, { cause })
  }
}
