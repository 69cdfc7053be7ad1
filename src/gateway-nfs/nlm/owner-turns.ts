/** Requests of one owner are served one after another: what it frees and takes must not overtake each other on their way to the lock's master. */
import { Turns } from '../../base/turns.ts'

export class OwnerTurns {
  readonly #clients = new Map<string, Map<string, { readonly turns: Turns; waiting: number }>>()

  async take<T>(
    { client, owner }: { readonly client: string; readonly owner: string },
    work: () => Promise<T>,
  ): Promise<T> {
    let owners = this.#clients.get(client)
    if (!owners) this.#clients.set(client, (owners = new Map()))
    let entry = owners.get(owner)
    if (!entry) owners.set(owner, (entry = { turns: new Turns(), waiting: 0 }))
    entry.waiting++
    try {
      return await entry.turns.take(work)
    } finally {
      if (--entry.waiting === 0) owners.delete(owner)
      if (owners.size === 0 && this.#clients.get(client) === owners) this.#clients.delete(client)
    }
  }

  /** Resolves once everything that this client has asked for until now is over. */
  async over(client: string): Promise<void> {
    const owners = this.#clients.get(client)
    if (owners) await Promise.all([...owners.values()].map(({ turns }) => turns.over()))
  }
}
