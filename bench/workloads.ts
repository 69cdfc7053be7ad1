/** What is measured over NFS: each workload prepares its objects on a target, and then writes calls. */
import { type ArgsOf, type ProcedureName, procedures } from '../src/gateway-nfs/v3/tables.ts'
import type { Xdr } from '../src/gateway-nfs/xdr/types.ts'
import { encodeCall, encodeWith, marked, NfsClient, unset } from '../test/helpers/nfs-client.ts'
import { listingPages } from './listing.ts'
import type { Workload } from './storm.ts'
import type { Target } from './target.ts'

const FILES = 1000
const DIRECTORIES = 64
const FILE_MIB = 64
const LISTED_FILES = 10_000
const PARALLEL = 64
const KIB = 1024
const MIB = 1024 * KIB
/** Calls are made as an ordinary mount makes them. */
const user = { uid: 0, gid: 0, gids: [0, 4, 24] }

/** The objects of one target that all workloads share. */
export class Objects {
  readonly #client: NfsClient
  readonly #root: Buffer
  readonly #files: Buffer[] = []
  readonly #directories: Buffer[] = []
  readonly #content: Buffer
  #serial = 0
  #listed: Workload | undefined

  private constructor(client: NfsClient, root: Buffer, content: Buffer) {
    this.#client = client
    this.#root = root
    this.#content = content
  }

  /** Makes a directory of its own on the target, with 1000 files, 64 directories and one file of 64 MiB. */
  static async make({ host, port, mountPort, export: path }: Target): Promise<Objects> {
    const mounting = await NfsClient.connect(mountPort, { host })
    const root = await mounting.mount(path)
    await mounting.close()
    const client = await NfsClient.connect(port, { host })
    const own = await client.mkdir(root, `bench-${Date.now().toString(36)}-${process.pid}`)
    const content = await client.create(own, 'content')
    const objects = new Objects(client, own, content)
    for (let i = 0; i < DIRECTORIES; i++) objects.#directories.push(await client.mkdir(own, `d${i}`))
    const names = Array.from({ length: FILES }, (_, i) => fileName(i))
    for (const name of names) objects.#files.push(await client.create(own, name))
    const block = Buffer.alloc(MIB, 'matrixfs')
    for (let i = 0; i < FILE_MIB; i++) await client.write(content, i * MIB, block, 0)
    await client.ok('COMMIT', { object: content, offset: 0, count: 0 })
    return objects
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  async workload(name: WorkloadName): Promise<Workload> {
    const file = this.#content
    switch (name) {
      case 'null':
        return fixed(name, [marked(encodeCall({ xid: 0, program: 100003, version: 3, procedure: 0, user }))])
      case 'getattr':
        return fixed(
          name,
          this.#files.map((object) => record('GETATTR', { object })),
        )
      case 'lookup':
        return fixed(
          name,
          this.#files.map((_, i) => record('LOOKUP', { dir: this.#root, name: fileName(i) })),
        )
      case 'create':
        return this.#creates()
      case 'readdirplus':
        return this.#listing()
      case 'read-4k': {
        const call = record('READ', { object: file, offset: 0, count: 4 * KIB })
        return atOffsets(name, call, 12, (i) => ((i * 7919) % (FILE_MIB * 256)) * 4 * KIB, 4 * KIB)
      }
      case 'write-4k': {
        const data = Buffer.alloc(4 * KIB, 'w')
        const call = record('WRITE', { object: file, offset: 0, count: data.length, stable: 2, data })
        return atOffsets(name, call, 20 + data.length, (i) => ((i * 7919) % (FILE_MIB * 256)) * 4 * KIB, 4 * KIB)
      }
      case 'read-1m': {
        const call = record('READ', { object: file, offset: 0, count: MIB })
        return atOffsets(name, call, 12, (i) => (i % FILE_MIB) * MIB, MIB)
      }
      case 'write-1m': {
        const data = Buffer.alloc(MIB, 'w')
        const call = record('WRITE', { object: file, offset: 0, count: data.length, stable: 0, data })
        const commit = record('COMMIT', { object: file, offset: 0, count: 0 })
        const writes = atOffsets(name, call, 20 + data.length, (i) => (i % FILE_MIB) * MIB, MIB)
        return {
          ...writes,
          // what was written is made stable every 64 MiB
          write: (out, at, xid, i) =>
            i % (FILE_MIB + 1) === FILE_MIB ? copy(commit, out, at, xid) : writes.write(out, at, xid, i),
        }
      }
    }
  }

  /** A directory of 10,000 files, page after page from its beginning to its end and again. */
  async #listing(): Promise<Workload> {
    this.#listed ??= await this.#makeListed()
    return this.#listed
  }

  async #makeListed(): Promise<Workload> {
    const client = this.#client
    const dir = await client.mkdir(this.#root, 'listed')
    for (let i = 0; i < LISTED_FILES; i += PARALLEL) {
      const some = Math.min(PARALLEL, LISTED_FILES - i)
      await Promise.all(Array.from({ length: some }, (_, j) => client.create(dir, `f${i + j}`)))
    }
    const pages: Buffer[] = []
    for await (const args of listingPages(client, dir)) pages.push(recordOf(procedures.READDIRPLUS.number, args))
    return { ...fixed('readdirplus', pages), entries: LISTED_FILES / pages.length }
  }

  /** New names in 64 directories; never one twice, whatever is repeated. */
  #creates(): Workload {
    const how = { kind: 1, value: { ...unset, mode: 0o644 } } as const
    const calls = this.#directories.map((dir) => record('CREATE', { dir, name: 'n00000000', how }))
    const at0 = (calls[0] as Buffer).lastIndexOf('n00000000') + 1
    return {
      name: 'create',
      payload: 0,
      callBytes: (calls[0] as Buffer).length,
      write: (out, at, xid) => {
        const serial = this.#serial++
        const end = copy(calls[serial % DIRECTORIES] as Buffer, out, at, xid)
        out.write(`${serial}`.padStart(8, '0'), at + at0, 8, 'latin1')
        return end
      },
    }
  }
}

export const workloadNames = [
  'null',
  'getattr',
  'lookup',
  'create',
  'readdirplus',
  'read-4k',
  'write-4k',
  'read-1m',
  'write-1m',
] as const
export type WorkloadName = (typeof workloadNames)[number]

function fileName(i: number): string {
  return `f${`${i}`.padStart(4, '0')}`
}

function record<N extends ProcedureName>(name: N, args: ArgsOf<N>): Buffer {
  const { number, args: type } = procedures[name]
  return recordOf(number, encodeWith(type as Xdr<ArgsOf<N>>, args))
}

function recordOf(procedure: number, args: Buffer): Buffer {
  return marked(encodeCall({ xid: 0, program: 100003, version: 3, procedure, user, args }))
}

function copy(call: Buffer, out: Buffer, at: number, xid: number): number {
  call.copy(out, at)
  out.writeUInt32BE(xid, at + 4)
  return at + call.length
}

function fixed(name: string, calls: readonly Buffer[]): Workload {
  return {
    name,
    payload: 0,
    callBytes: Math.max(...calls.map((call) => call.length)),
    write: (out, at, xid, i) => copy(calls[i % calls.length] as Buffer, out, at, xid),
  }
}

/** One call whose 64-bit offset stands `fromEnd` bytes before its end. */
function atOffsets(
  name: string,
  call: Buffer,
  fromEnd: number,
  offsetOf: (index: number) => number,
  payload: number,
): Workload {
  const field = call.length - fromEnd + 4
  return {
    name,
    payload,
    callBytes: call.length,
    write: (out, at, xid, i) => {
      const end = copy(call, out, at, xid)
      out.writeUInt32BE(offsetOf(i), at + field)
      return end
    },
  }
}
