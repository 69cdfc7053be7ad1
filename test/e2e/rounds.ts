/**
 * `npm run e2e:rounds [-- --rounds 10000]`: a write answered at one node is read at every other, over either protocol, by the next
 * request. Random files, nodes and protocols; one stale answer ends it. Shows R19.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { Prng } from '../../src/base/prng.ts'
import { Demo, numberOption } from './demo.ts'
import { freeBasePort } from './free-ports.ts'
import { HttpClient } from './http-client.ts'
import { NfsTree } from './nfs-tree.ts'

const root = new URL('../..', import.meta.url).pathname
const FILES = 40

/** Plays `rounds` rounds on a started demo; throws at the first stale answer. */
export async function playRounds(demo: Demo, rounds: number, seed: number): Promise<void> {
  const prng = new Prng(seed)
  const nodes = await Promise.all(
    demo.matrix.nodes.map(async (node) => {
      const nfs = await NfsTree.connect(node)
      return { name: node.name, http: new HttpClient(node.http.url), nfs, directory: await nfs.makePath('rounds') }
    }),
  )
  try {
    for (let round = 0; round < rounds; round++) {
      const file = `f${prng.below(FILES)}`
      const writer = prng.pick(nodes)
      const value = Buffer.from(`round ${round} by ${writer.name} ${'.'.repeat(prng.below(5000))}`)
      const how = prng.chance(0.5) ? 'http' : 'nfs'
      if (how === 'http') await writer.http.put(`rounds/${file}`, value)
      else await writer.nfs.writeFile(writer.directory, file, value)
      for (const reader of nodes) {
        if (reader === writer) continue
        const by = prng.chance(0.5) ? 'http' : 'nfs'
        const found =
          by === 'http' ? await reader.http.get(`rounds/${file}`) : await reader.nfs.readFile(reader.directory, file)
        if (!found?.equals(value)) {
          throw new Error(
            `seed ${seed}, round ${round}: ${file} written at ${writer.name} by ${how}, read at ${reader.name} by ${by}: found ${found?.subarray(0, 40)}, expected ${value.subarray(0, 40)}`,
          )
        }
      }
    }
  } finally {
    for (const node of nodes) {
      node.http.close()
      node.nfs.close()
    }
  }
}

if (import.meta.main) {
  const dir = join(root, 'var/e2e-rounds')
  rmSync(dir, { recursive: true, force: true })
  const demo = new Demo({ dir, basePort: await freeBasePort(3) })
  try {
    await demo.start()
    const rounds = numberOption('rounds', 10_000)
    const began = performance.now()
    await playRounds(demo, rounds, numberOption('seed', 1))
    console.log(
      `${rounds} rounds over ${demo.matrix.nodes.length} nodes without a stale answer, ${((performance.now() - began) / 1000).toFixed(0)} s`,
    )
  } finally {
    await demo.dispose()
  }
}
