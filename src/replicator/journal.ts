/**
 * What a replication has copied, in a SQLite database: of every object what its source was when it was copied, the digest of its content, and what became of it at the target. So the next
 * run knows what has changed on either side without reading content.
 *
 * It may be lost at any time, or be behind (rows are written some at a time): what it does not know is compared by content. A row is never ahead: it is added when the object has its name.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import Database from 'better-sqlite3'
import { MatrixError } from '../base/errors.ts'

export type Row = {
  readonly path: string
  /** Of the source. */
  readonly ino: number
  readonly size: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  /** SHA-256 of the content; of a symbolic link its target; '' of a directory or a pipe. */
  readonly digest: string
  /** Of the target. */
  readonly madeIno: number
  readonly madeMtimeMs: number
}

/** Rows that a crash may take back. */
const BATCH = 200

export class ReplicaJournal {
  readonly #db: Database.Database
  readonly #find: Database.Statement<[string]>
  readonly #put: Database.Statement<[Row]>
  readonly #drop: Database.Statement<[string]>
  readonly #dropBelow: Database.Statement<{ prefix: string; behind: string }>
  #open = 0

  /** Of this replication, and of no other. Throws MatrixError 'in-use' while another run has it, 'config' when it is of other trees, or cannot be opened. */
  static open(file: string, from: string, to: string): ReplicaJournal {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
      return new ReplicaJournal(file, from, to)
    } catch (error) {
      if (error instanceof MatrixError) throw error
      const code = (error as { code?: string }).code ?? ''
      if (code.startsWith('SQLITE_BUSY'))
        throw new MatrixError('in-use', `another run of this replication is under way (it has ${file})`)
      if (code.startsWith('SQLITE_NOTADB') || code.startsWith('SQLITE_CORRUPT'))
        throw new MatrixError('config', `${file} is damaged: remove it, and what is there is compared by content`)
      throw new MatrixError('config', `${file} cannot be opened: ${String(error)}`)
    }
  }

  private constructor(file: string, from: string, to: string) {
    this.#db = new Database(file, { timeout: 0 })
    // for as long as the process lives, however it ends
    this.#db.pragma('locking_mode = EXCLUSIVE')
    this.#db.pragma('journal_mode = WAL')
    this.#db.pragma('synchronous = NORMAL')
    this.#db.exec(`begin immediate;
      create table if not exists replication (source text not null, target text not null);
      create table if not exists object (
        path text primary key, ino real not null, size real not null, mtimeMs real not null, ctimeMs real not null, digest text not null, madeIno real not null, madeMtimeMs real not null
      ) without rowid;
      commit`)
    const known = this.#db.prepare('select source, target from replication').get() as
      | { source: string; target: string }
      | undefined
    if (!known) this.#db.prepare('insert into replication values (?, ?)').run(from, to)
    else if (known.source !== from || known.target !== to) {
      this.#db.close()
      throw new MatrixError('config', `${file} is of another replication: from ${known.source} to ${known.target}`)
    }
    this.#find = this.#db.prepare('select * from object where path = ?')
    this.#put = this.#db.prepare(
      'insert or replace into object values (@path, @ino, @size, @mtimeMs, @ctimeMs, @digest, @madeIno, @madeMtimeMs)',
    )
    this.#drop = this.#db.prepare('delete from object where path = ?')
    this.#dropBelow = this.#db.prepare('delete from object where path > @prefix and path < @behind')
  }

  get objects(): number {
    return (this.#db.prepare('select count(*) as count from object').get() as { count: number }).count
  }

  find(path: string): Row | undefined {
    return this.#find.get(path) as Row | undefined
  }

  put(row: Row): void {
    this.#begin()
    this.#put.run(row)
  }

  /** Nothing is known of it any more, nor of what was below it. */
  drop(path: string): void {
    this.#begin()
    this.#drop.run(path)
    this.#dropBelow.run({ prefix: `${path}/`, behind: `${path}0` }) // "0" comes after "/"
  }

  close(): void {
    this.#commit()
    this.#db.close()
  }

  #begin(): void {
    if (this.#open === 0) this.#db.exec('begin')
    if (++this.#open < BATCH) return
    this.#commit()
    this.#db.exec('begin')
    this.#open = 1
  }

  #commit(): void {
    if (this.#open > 0) this.#db.exec('commit')
    this.#open = 0
  }
}
