/** Clients that a node watches over, in a Map. */
import type { WatchedClient, WatchedClients } from '../../src/metadata/index.ts'

export class MemoryClients implements WatchedClients {
  readonly #clients = new Map<string, WatchedClient>()
  readonly #told: ((clients: readonly WatchedClient[]) => void)[] = []

  list(): readonly WatchedClient[] {
    return [...this.#clients.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  everywhere(): readonly WatchedClient[] {
    return this.list()
  }

  async put(client: WatchedClient): Promise<void> {
    this.#clients.set(client.name, client)
  }

  async remove(name: string): Promise<void> {
    this.#clients.delete(name)
  }

  clientsAdopted(told: (clients: readonly WatchedClient[]) => void): void {
    this.#told.push(told)
  }

  /** As if a node had gone that watched over these. */
  adopt(clients: readonly WatchedClient[]): void {
    for (const client of clients) this.#clients.set(client.name, client)
    for (const told of this.#told) told(clients)
  }
}
