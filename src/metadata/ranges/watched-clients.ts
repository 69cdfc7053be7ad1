/**
 * The clients that this node watches over for a gateway (NSM): rows of its own slot, durable before `put` and `remove` are answered. When a node
 * is gone, one that is there adopts its clients (fs/adopt-slot.ts). Their byte-range locks need no adoption: they are nobody's but theirs.
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { FsError } from '../../base/errors.ts'
import type { Mutation } from '../image/mutation.ts'
import type { NfsClientRecord } from '../image/rows.ts'
import type { VolumeApi } from '../volume-api.ts'
import { asRangeError } from './range-limits.ts'

/** `name` identifies it; `address`, `state` (NSM's state number) and `facts` are the gateway's own. Texts are Unicode, at most 16 KiB of UTF-8 each. */
export type WatchedClient = NfsClientRecord

export interface WatchedClients {
  /** Those of this node, also from before it was restarted, by name. */
  list(): readonly WatchedClient[]
  /** Those of all nodes, as far as this node has read the journals of the others; a client of several nodes is there several times. */
  everywhere(): readonly WatchedClient[]
  /** Watches over it, or knows something new of it. Durable when answered. Rejects with FsError ENOLCK when there are too many, EAGAIN when the node cannot say. */
  put(client: WatchedClient): Promise<void>
  /** No longer. Its locks are another matter. */
  remove(name: string): Promise<void>
  /** `told` hears, from now on, of every client that comes here from a node that is gone, once that is durable. */
  clientsAdopted(told: (clients: readonly WatchedClient[]) => void): void
}

/** One node watches over so many at most. */
export const WATCHED_CLIENTS_MAX = 4096

export class ClientRegistry implements WatchedClients {
  readonly #volume: VolumeApi
  readonly #told: ((clients: readonly WatchedClient[]) => void)[] = []

  constructor(volume: VolumeApi) {
    this.#volume = volume
  }

  list(): readonly WatchedClient[] {
    return this.#volume.image.nfsClients(this.#volume.slot)
  }

  everywhere(): readonly WatchedClient[] {
    return this.#volume.image.allNfsClients()
  }

  async put({ name, address, state, facts }: WatchedClient): Promise<void> {
    const { slot } = this.#volume
    await this.#change(() => {
      const known = this.list()
      if (known.length >= WATCHED_CLIENTS_MAX && !known.some((client) => client.name === name))
        throw new FsError('ENOLCK', `this node watches over ${WATCHED_CLIENTS_MAX} clients`)
      return [{ op: 'putNfsClient', slot, name, address, state, facts }]
    })
  }

  async remove(name: string): Promise<void> {
    const { slot } = this.#volume
    await this.#change(() => {
      const isThere = this.list().some((client) => client.name === name)
      return isThere ? [{ op: 'removeNfsClient', slot, name }] : []
    })
  }

  clientsAdopted(told: (clients: readonly WatchedClient[]) => void): void {
    this.#told.push(told)
  }

  /** They came in a transaction that is durable. */
  adopted(clients: readonly WatchedClient[]): void {
    if (clients.length > 0) for (const told of this.#told) told(clients)
  }

  /** The own slot's lock is held as long as the filesystem serves. */
  async #change(mutations: () => Mutation[]): Promise<void> {
    try {
      if (!this.#volume.hasRoom) await this.#volume.room()
      this.#volume.commit(mutations())
      if (!brokenRules.rangeAnswerIsDurable) await this.#volume.flush()
    } catch (error) {
      throw asRangeError(error)
    }
  }
}
