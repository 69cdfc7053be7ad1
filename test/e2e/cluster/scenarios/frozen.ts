/**
 * The frozen node: it is stopped, its lease ends, the others take over and change a file; then it goes on. Clients with connections to it have
 * asked it meanwhile, for the file as it was, and to change it. It writes nothing, and whoever asked gets an error or nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { NfsClient } from '../../../helpers/nfs-client.ts'
import { now } from '../../checker/clock.ts'
import type { DemoNode } from '../../demo.ts'
import { HttpClient } from '../../http-client.ts'
import type { Scenario, Scene } from '../scenario.ts'
import { measureTakeover } from '../takeover.ts'

const FILE = 'frozen.txt'
const [OLD, NEW, LATE] = ['old', 'new', 'late']
/** After it has gone on, a node that was fenced has ended by then, ms. */
const END_LIMIT_MS = 5000

export function frozen(number: number): Scenario {
  return {
    name: 'frozen node',
    async play(scene, measured) {
      const { matrix } = scene
      const victim = matrix.numbered(number)
      const others = matrix.nodes.filter((node) => node !== victim)
      const life = victim.life
      const readers = await Readers.connect(matrix.access(victim))
      await readers.put(OLD)
      let asked: readonly Asked[] = []
      const fault = () => {
        victim.signal('SIGSTOP')
        asked = readers.ask()
      }
      try {
        const { to } = await measureTakeover(scene, measured, { sides: [others, [victim]], lost: 'second', fault })
        for (const node of others) await overwrite(matrix.access(node))
        asked = [...asked, ...readers.ask()]
        if (victim.life !== life) return // fenced by SIGKILL: nothing is left that could go on
        victim.signal('SIGCONT')
        const deadline = now() + END_LIMIT_MS
        while (victim.life === life && now() < deadline) await sleep(20)
        if (victim.life === life) throw new Error(`${victim.name} has not ended ${END_LIMIT_MS} ms after it went on`)
        for (const each of asked) refuseAnswer(await each)
        await refuseWrites(scene, number, to, life?.endedAt as number)
      } finally {
        if (victim.life === life) victim.signal('SIGCONT')
        readers.close()
      }
      await matrix.allServe()
      for (const node of matrix.nodes) await holds(matrix.access(node), NEW as string)
    },
  }
}

type Told = { readonly what: string; readonly answer: string | undefined }
type Asked = Promise<Told>

/** Clients with open connections to one node. */
class Readers {
  readonly #nfs: NfsClient
  readonly #http: HttpClient
  #object: Buffer = Buffer.alloc(0)
  readonly #root: Buffer

  static async connect({ nfs, http }: DemoNode): Promise<Readers> {
    const client = await NfsClient.connect(nfs.port, { host: nfs.host })
    return new Readers(client, await client.mount(nfs.export), new HttpClient(http.url))
  }

  private constructor(nfs: NfsClient, root: Buffer, http: HttpClient) {
    this.#nfs = nfs
    this.#root = root
    this.#http = http
  }

  /** Makes the file, and reads it by both protocols: everything about it is cached at the node. */
  async put(content: string): Promise<void> {
    await this.#http.put(FILE, Buffer.from(content))
    this.#object = await this.#nfs.lookup(this.#root, FILE)
    for (const { what, answer } of await Promise.all(this.#reads()))
      if (answer !== content) throw new Error(`${what} before the freeze: ${answer}`)
  }

  /** Sends requests that nobody will answer for now. */
  ask(): readonly Asked[] {
    const late = Buffer.from(LATE as string)
    return [
      ...this.#reads(),
      told('NFS WRITE', this.#nfs.write(this.#object, 0, late), () => 'done'),
      told('HTTP PUT', this.#http.send('PUT', FILE, late), ({ status }) => (status < 300 ? 'done' : undefined)),
    ]
  }

  close(): void {
    this.#nfs.socket.destroy()
    this.#http.close()
  }

  #reads(): readonly Asked[] {
    return [
      told('NFS READ', this.#nfs.read(this.#object), (data) => data.toString()),
      told('HTTP GET', this.#http.get(FILE), (data) => data?.toString()),
    ]
  }
}

/** `answer`: undefined when there was none, or an error. */
function told<T>(what: string, answer: Promise<T>, success: (value: T) => string | undefined): Asked {
  return answer.then(
    (value) => ({ what, answer: success(value) }),
    () => ({ what, answer: undefined }),
  )
}

function refuseAnswer({ what, answer }: Told): void {
  if (answer !== undefined) throw new Error(`the frozen node has answered ${what} after it was taken over: ${answer}`)
}

async function overwrite({ http }: DemoNode): Promise<void> {
  const client = new HttpClient(http.url)
  await client.put(FILE, Buffer.from(NEW as string))
  client.close()
}

async function holds({ name, http }: DemoNode, content: string): Promise<void> {
  const client = new HttpClient(http.url)
  const found = (await client.get(FILE))?.toString()
  client.close()
  if (found !== content) throw new Error(`${FILE} at ${name} is ${found}, not ${content}`)
}

/** Nothing at all: leases included. */
async function refuseWrites({ matrix }: Scene, number: number, from: number, to: number): Promise<void> {
  const late = (await matrix.san.writes()).filter(({ node, time }) => node === number - 1 && time >= from && time <= to)
  const some = late.slice(0, 5).map(({ lun, offset, length }) => `lun${lun + 1} ${length} bytes at ${offset}`)
  if (late.length > 0) throw new Error(`the frozen node wrote ${late.length} times after it was taken over: ${some}`)
}
