/**
 * Virtual clients of a simulated matrix. Each works at one node, one verb after another, on objects that all share:
 *
 *   blocks    64-byte values at block starts of shared files, written stable, read back anywhere (a value never spans a sector, so
 *             that a crash cannot tear it)
 *   names     shared names, each always bound to a symbolic link with a target never used twice, replaced by rename
 *   litter    two directories that everybody works in (litter.ts)
 *   dav       locks and properties of shared files (dav.ts)
 *   own       files, directories and links in a directory of its own, made, renamed and removed: what was acknowledged is checked
 *             at every node at the end
 *
 * Answers go to the oracle. Errors: FsError is an answer (the verb did nothing); MatrixError and a dead node leave the outcome open.
 */
import { isFsError, isMatrixError } from '../../src/base/errors.ts'
import { ROOT_INO } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import type { MatrixFs } from '../../src/metadata/index.ts'
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
  #oracle: Oracle
  readonly #litter: Litter
  readonly #dav: DavWork
  #prng: Prng
  #serial = 0
  /** Names of its own directory: what each was acknowledged to be, or undefined while that is open. */
  readonly own = new Map<string, 'there' | 'absent' | 'open'>()
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

  async #ownChange(fs: MatrixFs): Promise<void> {
    const { inode: dir } = await fs.lookup(ROOT, ROOT_INO, `own${this.id}`)
    const kind = this.#prng.pick(['file', 'dir', 'rename', 'remove'] as const)
    const there = [...this.own].filter(([, state]) => state === 'there').map(([name]) => name)
    const old = there.length ? this.#prng.pick(there) : undefined
    const fresh = `${kind === 'dir' ? 'd' : 'x'}${++this.#serial}`
    if (kind === 'file' || kind === 'dir' || old === undefined) {
      const name = kind === 'dir' ? fresh : `x${this.#serial}`
      this.own.set(name, 'open')
      if (kind === 'dir') await fs.mkdir(ROOT, dir.ino, name, { mode: 0o755 })
      else await fs.create(ROOT, dir.ino, name, { mode: 0o600 }, 'guarded')
      await durable(fs)
      this.own.set(name, 'there')
    } else if (kind === 'rename') {
      const name = `${old[0]}${this.#serial}`
      this.own.set(name, 'open').set(old, 'open')
      await fs.rename(ROOT, dir.ino, old, dir.ino, name)
      await durable(fs)
      this.own.set(name, 'there').set(old, 'absent')
    } else {
      this.own.set(old, 'open')
      if (old.startsWith('d')) await fs.rmdir(ROOT, dir.ino, old)
      else await fs.remove(ROOT, dir.ino, old)
      await durable(fs)
      this.own.set(old, 'absent')
    }
    this.#trace(`client ${this.id} ${kind} ${old ?? ''} ${fresh}`)
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
