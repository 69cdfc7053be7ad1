/**
 * Virtual clients of a simulated matrix. Each works at one node, one verb after another, on objects that all share:
 *
 *   blocks    64-byte values at block starts of shared files, written stable, read back anywhere (a value never spans a sector, so
 *             that a crash cannot tear it)
 *   names     shared names, each always bound to a symbolic link with a target never used twice, replaced by rename
 *   litter    two directories that everybody works in (litter.ts)
 *   dav       locks and properties of shared files (dav.ts)
 *   own       files, directories and links in a directory of its own, made, renamed and removed: what was acknowledged is checked
 *             at every node at the end. What a node leaves in doubt is asked for again elsewhere, and is never done twice
 *
 * Answers go to the oracle. Errors: FsError is an answer (the verb did nothing); MatrixError and a dead node leave the outcome open.
 */
import { isFsError, isMatrixError } from '../../src/base/errors.ts'
import { type Ino, ROOT_INO } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import { DoneAlready, type MatrixFs, type RequestId } from '../../src/metadata/index.ts'
import type { Clock } from '../../src/platform/index.ts'
import { sleep } from '../../src/platform/index.ts'
import { durable, ROOT } from './calls.ts'
import type { DavWork } from './dav.ts'
import { Litter } from './litter.ts'
import type { AtLife, Oracle } from './oracle.ts'

const FILES = 4
const BLOCKS = 3
const NAMES = 4
const VALUE_BYTES = 64
const INITIAL = ''

/** So long a request that was done is surely known as that, virtual ms. */
const REMEMBERED_MS = 60_000

/** So many answers to such changes never reach their client. */
const ANSWERS_LOST = 0.2

/** A change that a client wants made once, whoever makes it and however often it asks. */
type OwnChange = {
  readonly name: string
  readonly request: RequestId
  /** When it was asked for first. */
  readonly since: number
  readonly make: (fs: MatrixFs, dir: Ino, request: RequestId) => unknown
  readonly made: () => void
}

/** Makes what clients share; each at some node, since an object's locks are mastered where it was born. */
export async function prepare(anyFs: () => MatrixFs, clients: number): Promise<void> {
  const directories = ['shared', ...Litter.directories, ...Array.from({ length: clients }, (_, c) => `own${c}`)]
  for (let f = 0; f < FILES; f++) {
    const fs = anyFs()
    await fs.create(ROOT, ROOT_INO, `f${f}`, { mode: 0o644 }, 'guarded')
    await durable(fs)
  }
  for (const name of directories) {
    const fs = anyFs()
    await fs.mkdir(ROOT, ROOT_INO, name, { mode: 0o755 })
    await durable(fs)
  }
}

export class Client {
  readonly id: number
  operations = 0
  /** Changes that it asked for again, and that had been made. */
  repeated = 0
  #oracle: Oracle
  readonly #litter: Litter
  readonly #dav: DavWork
  #prng: Prng
  #serial = 0
  /** Names of its own directory: what each was acknowledged to be, or undefined while that is open. */
  readonly own = new Map<string, 'there' | 'absent' | 'open'>()
  #pending: OwnChange | undefined
  readonly #thinkMs: number
  readonly #trace: (line: string) => void

  /** Rests up to `thinkMs` between two verbs. */
  constructor(
    id: number,
    oracle: Oracle,
    litter: Litter,
    dav: DavWork,
    prng: Prng,
    thinkMs: number,
    trace: (line: string) => void,
  ) {
    this.id = id
    this.#oracle = oracle
    this.#litter = litter
    this.#dav = dav
    this.#prng = prng
    this.#thinkMs = thinkMs
    this.#trace = trace
  }

  /** Works at a node, in this life of it, until `stopped()`, or until the node fails it. */
  async work(fs: MatrixFs, at: AtLife, clock: Clock, stopped: () => boolean): Promise<void> {
    while (!stopped()) {
      try {
        await this.#step(fs, at, clock)
        this.operations++
      } catch (error) {
        if (isMatrixError(error)) {
          this.#trace(`client ${this.id}: ${String(error)}`)
          return
        }
        if (!isFsError(error)) throw error
        if (error.code === 'EIO' || error.code === 'EDOUBT') return
        this.#trace(`client ${this.id}: ${error.code}`)
      }
      await sleep(clock, this.#prng.below(this.#thinkMs))
    }
  }

  async #step(fs: MatrixFs, at: AtLife, clock: Clock): Promise<void> {
    const k = this.#prng.float()
    if (k < 0.2) await this.#writeBlock(fs, at)
    else if (k < 0.4) await this.#readBlock(fs, at)
    else if (k < 0.5) await this.#bindName(fs, at)
    else if (k < 0.65) await this.#readName(fs, at)
    else if (k < 0.7) await this.#dav.step(fs, at, this.id, this.#prng)
    else if (k < 0.87) await this.#litter.step(fs, at, this.id, this.#prng, clock)
    else await this.#ownChange(fs)
  }

  #value(): string {
    return `c${this.id}.${++this.#serial}`
  }

  async #writeBlock(fs: MatrixFs, at: AtLife): Promise<void> {
    const f = this.#prng.below(FILES)
    const b = this.#prng.below(BLOCKS)
    const value = this.#value()
    const { inode } = await fs.lookup(ROOT, ROOT_INO, `f${f}`)
    const write = this.#oracle.beginWrite(`f${f}[${b}]`, value, INITIAL, at)
    try {
      await fs.write(ROOT, inode.ino, b * 4096, Buffer.from(value.padEnd(VALUE_BYTES, ' ')), true)
    } catch (error) {
      if (isFsError(error) && !isFsError(error, 'EIO', 'EDOUBT')) write.failed()
      throw error
    }
    write.ended()
    this.#trace(`client ${this.id} wrote f${f}[${b}] ${value}`)
  }

  async #readBlock(fs: MatrixFs, at: AtLife): Promise<void> {
    const f = this.#prng.below(FILES)
    const b = this.#prng.below(BLOCKS)
    const began = this.#oracle.now()
    const { inode } = await fs.lookup(ROOT, ROOT_INO, `f${f}`)
    const result = await fs.read(ROOT, inode.ino, b * 4096, VALUE_BYTES)
    const value = Buffer.concat(result.pieces).toString('latin1').replaceAll('\0', ' ').trim()
    this.#oracle.checkRead(`f${f}[${b}]`, value, INITIAL, began, at)
    this.#trace(`client ${this.id} read f${f}[${b}] ${value}`)
  }

  async #bindName(fs: MatrixFs, at: AtLife): Promise<void> {
    const name = `n${this.#prng.below(NAMES)}`
    const value = this.#value()
    const { inode: shared } = await fs.lookup(ROOT, ROOT_INO, 'shared')
    await fs.symlink(ROOT, shared.ino, `tmp-${value}`, value, {})
    const write = this.#oracle.beginWrite(name, value, INITIAL, at)
    try {
      await fs.rename(ROOT, shared.ino, `tmp-${value}`, shared.ino, name)
      await durable(fs)
    } catch (error) {
      if (isFsError(error) && !isFsError(error, 'EIO', 'EDOUBT')) write.failed()
      throw error
    }
    write.ended()
    this.#trace(`client ${this.id} bound ${name} to ${value}`)
  }

  async #readName(fs: MatrixFs, at: AtLife): Promise<void> {
    const name = `n${this.#prng.below(NAMES)}`
    const began = this.#oracle.now()
    let value = INITIAL
    try {
      const { inode: shared } = await fs.lookup(ROOT, ROOT_INO, 'shared')
      const { inode } = await fs.lookup(ROOT, shared.ino, name)
      value = (await fs.readlink(ROOT, inode.ino)).target
    } catch (error) {
      if (isFsError(error, 'ESTALE')) return // replaced between the two verbs
      if (!isFsError(error, 'ENOENT')) throw error
    }
    this.#oracle.checkRead(name, value, INITIAL, began, at)
    this.#trace(`client ${this.id} read ${name} ${value}`)
  }

  /** A change of its own directory; what a node left in doubt is asked for again first, by the same request. */
  async #ownChange(fs: MatrixFs): Promise<void> {
    const { inode: dir } = await fs.lookup(ROOT, ROOT_INO, `own${this.id}`)
    this.#pending ??= this.#newChange()
    const change = this.#pending
    try {
      await change.make(fs, dir.ino, change.request)
    } catch (error) {
      if (isFsError(error, 'EEXIST', 'ENOENT') && this.#oracle.now() < change.since + REMEMBERED_MS)
        throw new Error(`${change.name} of client ${this.id} was done twice, or undone: ${String(error)}`)
      const refused = isFsError(error) && !isFsError(error, 'EIO', 'EDOUBT')
      if (refused && this.#pending === change) this.#pending = undefined // nothing was done
      if (!(error instanceof DoneAlready)) throw error
      this.repeated++
    }
    if (this.#prng.chance(ANSWERS_LOST)) return // and it asks again, here or elsewhere
    await durable(fs)
    if (this.#pending !== change) return // while this node stood still, another has answered
    this.#pending = undefined
    change.made()
    this.#trace(`client ${this.id} ${change.name}`)
  }

  #newChange(): OwnChange {
    const kind = this.#prng.pick(['file', 'dir', 'rename', 'remove'] as const)
    const there = [...this.own].filter(([, state]) => state === 'there').map(([name]) => name)
    const old = there.length ? this.#prng.pick(there) : undefined
    const name = `${kind === 'dir' ? 'd' : 'x'}${++this.#serial}`
    const request: RequestId = { client: this.id, xid: this.#serial, check: this.#serial * 1_000_003 }
    const since = this.#oracle.now()
    if (kind === 'file' || kind === 'dir' || old === undefined) {
      this.own.set(name, 'open')
      const make: OwnChange['make'] =
        kind === 'dir'
          ? (fs, dir, asked) => fs.mkdir(ROOT, dir, name, { mode: 0o755 }, asked)
          : (fs, dir, asked) => fs.create(ROOT, dir, name, { mode: 0o600 }, 'guarded', asked)
      return { name: `${kind} ${name}`, request, since, make, made: () => this.own.set(name, 'there') }
    }
    this.own.set(old, 'open')
    if (kind === 'rename') {
      const to = `${old[0]}${this.#serial}`
      this.own.set(to, 'open')
      return {
        ...{ name: `rename ${old} ${to}`, request, since },
        make: (fs, dir, asked) => fs.rename(ROOT, dir, old, dir, to, { request: asked }),
        made: () => this.own.set(to, 'there').set(old, 'absent'),
      }
    }
    const make: OwnChange['make'] = old.startsWith('d')
      ? (fs, dir, asked) => fs.rmdir(ROOT, dir, old, asked)
      : (fs, dir, asked) => fs.remove(ROOT, dir, old, asked)
    return { name: `remove ${old}`, request, since, make, made: () => this.own.set(old, 'absent') }
  }

  /** What was acknowledged about the own directory holds at this node. */
  async verifyOwn(fs: MatrixFs): Promise<void> {
    const { inode: dir } = await fs.lookup(ROOT, ROOT_INO, `own${this.id}`)
    const names = new Set<string>()
    for (let cookie = 0; ; ) {
      const listing = await fs.readdir(ROOT, dir.ino, cookie, 100)
      for (const entry of listing.entries) names.add(entry.name)
      if (listing.eof || !listing.entries.length) break
      cookie = listing.entries.at(-1)!.cookie
    }
    for (const [name, state] of this.own) {
      if (state === 'there' && !names.has(name)) throw new Error(`own${this.id}/${name} was acknowledged and is gone`)
      if (state === 'absent' && names.has(name)) throw new Error(`own${this.id}/${name} was removed and is there`)
    }
  }

  /** Reads every shared register at a node. */
  async verifyShared(fs: MatrixFs): Promise<void> {
    for (let f = 0; f < FILES; f++) {
      for (let b = 0; b < BLOCKS; b++) {
        const began = this.#oracle.now()
        const { inode } = await fs.lookup(ROOT, ROOT_INO, `f${f}`)
        const result = await fs.read(ROOT, inode.ino, b * 4096, VALUE_BYTES)
        const value = Buffer.concat(result.pieces).toString('latin1').replaceAll('\0', ' ').trim()
        this.#oracle.checkRead(`f${f}[${b}]`, value, INITIAL, began)
      }
    }
  }
}
