/**
 * Watches the membership database on the LUNs: a term of the SAN locks belongs to one life of one node, so every database of that term
 * was written by it; and no two databases of one term and generation differ. So at most one administrator has ever been able to act.
 */
import { unpack } from 'msgpackr'
import { crc32c } from '../../src/base/crc32c.ts'
import { unseal } from '../../src/base/layout.ts'
import { databaseFormat } from '../../src/san/database-copies.ts'
import type { MembershipDatabase } from '../../src/san/index.ts'
import type { Landed } from './lun.ts'
import type { SimHost, SimWorld } from './world.ts'

export class AdministratorOracle {
  readonly #world: SimWorld
  readonly #terms = new Map<number, SimHost>()
  readonly #contents = new Map<string, number>()

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
    const { term, generation } = unpack(block.body) as MembershipDatabase
    const owner = this.#terms.get(term)
    if (owner && owner !== by) this.#fail(`a database of term ${term} by ${by.name}, whose first was by ${owner.name}`)
    this.#terms.set(term, by)
    const key = `${term}/${generation}`
    const content = crc32c(block.body)
    if ((this.#contents.get(key) ?? content) !== content)
      this.#fail(`two databases of term ${term} and generation ${generation} differ`)
    this.#contents.set(key, content)
  }

  #fail(what: string): void {
    this.#world.fail(new Error(`${this.#world.now} ms: ${what}`))
  }
}
