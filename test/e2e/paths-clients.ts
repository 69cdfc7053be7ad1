/** The clients of `npm run e2e:paths`: each writes files of its own at its node, reads them and those of all others, and knows how long it had to wait. */
import { Prng } from '../../src/base/prng.ts'
import { NfsStatusError } from '../helpers/nfs-client.ts'
import type { DemoNode } from './demo.ts'
import { HttpClient } from './http-client.ts'
import { NfsTree } from './nfs-tree.ts'

const FILES = 8
const DIRECTORY = 'paths'
const NFS3ERR_STALE = 70

type Target = {
  write(name: string, data: Buffer): Promise<void>
  read(name: string): Promise<Buffer | undefined>
  close(): void
}

/** What is known of each file: a reader finds what was written last before it asked, or something newer that was begun. */
export type Files = Map<string, { acknowledged: number; begun: number }>

export class PathsClient {
  readonly name: string
  /** What was wrong; it has ended then. */
  failure: string | undefined
  operations = 0
  readonly #target: Target
  readonly #files: Files
  readonly #prng: Prng
  #isEnding = false
  #loop: Promise<void> | undefined
  #doneAt = 0
  #longestMs = 0

  static async connect(node: DemoNode, protocol: 'http' | 'nfs', files: Files, seed: number): Promise<PathsClient> {
    const target = protocol === 'http' ? byHttp(node) : await byNfs(node)
    return new PathsClient(`${protocol}-${node.name}`, target, files, seed)
  }

  private constructor(name: string, target: Target, files: Files, seed: number) {
    this.name = name
    this.#target = target
    this.#files = files
    this.#prng = new Prng(seed)
  }

  start(): void {
    this.#doneAt = performance.now()
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#isEnding = true
    await this.#loop
    this.#target.close()
  }

  /** Longest time without an operation that was done, since the last call; one that goes on counts as it is. */
  takeLongestMs(): number {
    const longestMs = Math.max(this.#longestMs, performance.now() - this.#doneAt)
    this.#longestMs = 0
    this.#doneAt = performance.now()
    return longestMs
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      try {
        if (this.#prng.chance(0.5)) await this.#write(`${this.name}-${this.#prng.below(FILES)}`)
        else await this.#read()
      } catch (error) {
        this.failure = `${this.name}: ${error instanceof Error ? error.message : error}`
        return
      }
      const now = performance.now()
      this.#longestMs = Math.max(this.#longestMs, now - this.#doneAt)
      this.#doneAt = now
      this.operations++
    }
  }

  async #write(name: string): Promise<void> {
    let known = this.#files.get(name)
    if (!known) this.#files.set(name, (known = { acknowledged: 0, begun: 0 }))
    const number = ++known.begun
    await this.#target.write(name, contentOf(name, number))
    known.acknowledged = number
  }

  async #read(): Promise<void> {
    if (this.#files.size === 0) return this.#write(`${this.name}-0`)
    const [name, known] = this.#prng.pick([...this.#files])
    const atLeast = known.acknowledged
    const found = await this.#target.read(name)
    const number = found ? Number(/ number (\d+) /.exec(found.subarray(0, 100).toString())?.[1]) : 0
    const isWhole = found ? contentOf(name, number).equals(found) : true
    if (isWhole && number >= atLeast && number <= known.begun) return
    const what = found ? `${found.length} bytes that begin with "${found.subarray(0, 40)}"` : 'no file'
    throw new Error(`WRONG CONTENT: ${name} holds ${what}; expected number ${atLeast} … ${known.begun}`)
  }
}

function contentOf(name: string, number: number): Buffer {
  return Buffer.alloc(64 + ((number * 7919) % 60_000), `${name} number ${number} `)
}

function byHttp(node: DemoNode): Target {
  const client = new HttpClient(node.http.url)
  return {
    write: (name, data) => client.put(`${DIRECTORY}/${name}`, data),
    read: (name) => client.get(`${DIRECTORY}/${name}`),
    close: () => client.close(),
  }
}

async function byNfs(node: DemoNode): Promise<Target> {
  const tree = await NfsTree.connect(node)
  const directory = await tree.makePath(DIRECTORY)
  return {
    write: (name, data) => tree.replaceFile(directory, name, data),
    async read(name) {
      for (;;) {
        try {
          return await tree.readFile(directory, name)
        } catch (error) {
          // replaced between the look-up and the read: every client looks it up again
          if (!(error instanceof NfsStatusError) || error.status !== NFS3ERR_STALE) throw error
        }
      }
    },
    close: () => tree.close(),
  }
}
