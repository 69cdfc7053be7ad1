/**
 * Watches the membership database on the LUNs: a term of the SAN locks belongs to one life of one node, so every database of that term
 * was written by it; and no two databases of one term and generation differ. So at most one administrator has ever been able to act. And no
 * two databases of one generation have different lists of LUNs, of the matrix or of a filesystem, whoever wrote them.
 */
import { unpack } from 'msgpackr'
import { crc32c } from '../../src/base/crc32c.ts'
import { unseal } from '../../src/base/layout.ts'
import { databaseFormat, isNewer } from '../../src/san/database-copies.ts'
import type { MembershipDatabase } from '../../src/san/index.ts'
import type { Landed } from './lun.ts'
import type { SimHost, SimWorld } from './world.ts'

export class AdministratorOracle {
  readonly #world: SimWorld
  readonly #terms = new Map<number, SimHost>()
  readonly #contents = new Map<string, number>()
  readonly #lists = new Map<number, string>()
  /** Whatever was the newest that has landed anywhere, in turn. */
  readonly #newest: MembershipDatabase[] = []
  /** Told of each that is newer than all before. */
  onNewest: (database: MembershipDatabase) => void = () => {}

  constructor(world: SimWorld) {
    this.#world = world
  }

  /** How many terms have written a database. */
  get terms(): number {
    return this.#terms.size
  }

  /** A write to a membership partition has landed, whole or in part. */
  landed({ by, bytes }: Landed): void {
    const block = unseal(databaseFormat, bytes)
    if (block.kind !== 'ok') return
    const database = unpack(block.body) as MembershipDatabase
    const { term, generation, luns, filesystems } = database
    const owner = this.#terms.get(term)
    if (owner && owner !== by) this.#fail(`a database of term ${term} by ${by.name}, whose first was by ${owner.name}`)
    this.#terms.set(term, by)
    const key = `${term}/${generation}`
    const content = crc32c(block.body)
    if ((this.#contents.get(key) ?? content) !== content)
      this.#fail(`two databases of term ${term} and generation ${generation} differ`)
    this.#contents.set(key, content)
    const list = [
      luns.map(({ name, size }) => `${name} ${size}`),
      ...filesystems.map((each) => [each.luns, 'draining', each.draining]),
    ].join('; ')
    if ((this.#lists.get(generation) ?? list) !== list)
      this.#fail(`SAN generation ${generation} stands for ${this.#lists.get(generation)} and for ${list}`)
    this.#lists.set(generation, list)
    if (this.newest && !isNewer(database, this.newest)) return
    this.#newest.push(database)
    this.onNewest(database)
  }

  /** The newest database that has landed anywhere. */
  get newest(): MembershipDatabase | undefined {
    return this.#newest.at(-1)
  }

  /** How many have been the newest. */
  get count(): number {
    return this.#newest.length
  }

  /** Those that have been the newest since there were `count` of them, the one of that time among them. */
  since(count: number): readonly MembershipDatabase[] {
    return this.#newest.slice(Math.max(0, count - 1))
  }

  #fail(what: string): void {
    this.#world.fail(new Error(`${this.#world.now} ms: ${what}`))
  }
}
