/**
 * Files by which the service of a matrix is measured. They are used by their handles alone, which are the same at every node, so that
 * nothing but the file itself is needed:
 *
 *   held-K   node K writes it all the time: it holds its lock exclusively when something happens to it
 *   own-K    only node K has ever had it, and has its lock cached
 *   pool-I   nobody has its lock: made at some node, and then every node was restarted. Each is used once in a while
 */
import { NfsClient } from '../../helpers/nfs-client.ts'
import type { RealMatrix } from './real-matrix.ts'

/** Calls under way at once while the pool is made. */
const AT_ONCE = 50

export class Resources {
  readonly #held = new Map<string, Buffer>()
  readonly #own = new Map<string, Buffer>()
  /** By the node where they were made. */
  readonly #pool = new Map<string, Buffer[]>()
  #next = 0

  /** Makes them, `pool` of the last kind, for which all nodes are restarted. */
  static async make(matrix: RealMatrix, pool = 1000): Promise<Resources> {
    const resources = new Resources()
    for (const node of matrix.nodes) {
      const { nfs } = matrix.access(node)
      const client = await NfsClient.connect(nfs.port, { host: nfs.host })
      const root = await client.mount(nfs.export)
      const dir = await client.mkdir(root, `service-${node.name}`)
      const make = async (name: string): Promise<Buffer> => {
        const object = await client.create(dir, name)
        await client.write(object, 0, Buffer.from(name))
        return object
      }
      resources.#held.set(node.name, await make('held'))
      resources.#own.set(node.name, await make('own'))
      const pooled: Buffer[] = []
      if (pool > 0) resources.#pool.set(node.name, pooled)
      for (let made = 0; made < pool / matrix.nodes.length; made += AT_ONCE) {
        const names = Array.from({ length: AT_ONCE }, (_, i) => `pool-${made + i}`)
        pooled.push(...(await Promise.all(names.map(make))))
      }
      await client.close()
    }
    if (pool > 0) {
      await matrix.stopAll()
      await matrix.startAll()
    }
    return resources
  }

  held(node: string): Buffer {
    return this.#held.get(node) as Buffer
  }

  own(node: string): Buffer {
    return this.#own.get(node) as Buffer
  }

  /** The nodes where a pool was made. */
  get makers(): readonly string[] {
    return [...this.#pool.keys()]
  }

  /** Another one every time, in turn. */
  untouched(maker: string): Buffer {
    const pool = this.#pool.get(maker) as Buffer[]
    return pool[this.#next++ % pool.length] as Buffer
  }
}
