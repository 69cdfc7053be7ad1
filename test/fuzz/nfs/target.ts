/**
 * The NFS gateway with everything it serves, over a real filesystem in memory. Inputs are of four kinds:
 *
 *  made      a call made from the tables: it is answered with a result of its table
 *  wrong     a call with bytes changed: it is answered as RPC has it, or is no call and nothing is
 *  stream    pieces of records, right and wrong, over a TCP connection that ends in the middle or is cut
 *  datagram  the same by UDP
 *
 * Calls come from a few clients, so that locks and share reservations of several meet.
 */
import { connect } from 'node:net'
import type { Incarnation, Slot } from '../../../src/base/ids.ts'
import { Prng } from '../../../src/base/prng.ts'
import { type Export, encodeHandle, HANDLE_BYTES, makeExport } from '../../../src/export/index.ts'
import { defaultLimits } from '../../../src/gateway-nfs/limits.ts'
import { portmapPrograms } from '../../../src/gateway-nfs/portmap/programs.ts'
import { Services } from '../../../src/gateway-nfs/portmap/services.ts'
import { NfsPrograms } from '../../../src/gateway-nfs/programs.ts'
import { BufferPool } from '../../../src/gateway-nfs/rpc/buffer-pool.ts'
import { Client } from '../../../src/gateway-nfs/rpc/client.ts'
import { DatagramPort } from '../../../src/gateway-nfs/rpc/datagrams.ts'
import { Programs } from '../../../src/gateway-nfs/rpc/programs.ts'
import { ReplyCache } from '../../../src/gateway-nfs/rpc/replies.ts'
import { StreamPort } from '../../../src/gateway-nfs/rpc/streams.ts'
import type { Transport } from '../../../src/gateway-nfs/rpc/transport.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { encodeCall, marked } from '../../helpers/nfs-client.ts'
import { RpcDatagrams } from '../../helpers/rpc-datagrams.ts'
import { mutate } from '../mutate.ts'
import type { FuzzRun, FuzzTarget } from '../target.ts'
import { checkReply, type MadeCall, makeCall, servedPrograms } from './calls.ts'
import type { Known } from './random-reader.ts'
import { CallSession } from './session.ts'

export const nfsTarget: FuzzTarget = {
  name: 'nfs',
  about: 'RPC, MOUNT, NFS, NLM, NSM and the port mapper: decoders and dispatch, over a real filesystem',
  start: (seed) => NfsFuzz.start(seed),
}

const ROOT = { uid: 0, gid: 0, gids: [] }
const NAMES = [
  'a',
  'b',
  'c',
  'dir',
  'link',
  'file',
  '.',
  '..',
  '',
  'x'.repeat(255),
  'x'.repeat(256),
  '/home',
  '/home/dir',
  'tcp',
  'udp',
  '127.0.0.1.8.1',
  'host',
]
const CLIENTS = 4
/** What was removed is made again after so many inputs, and handles are drawn anew. */
const RENEW_EVERY = 500
const STREAMS_OF_1000 = 10
const DATAGRAMS_OF_1000 = 5
/** Where no client has a port mapper: calls back fail at once. */
const NOWHERE = 1
const SMALLEST_PORT = 40_000

class NfsFuzz implements FuzzRun {
  readonly #seed: number
  readonly #matrix: LocalMatrix
  readonly #fs: MatrixFs
  readonly #exports: readonly Export[]
  readonly #wired: NfsPrograms
  readonly #programs: Programs
  readonly #pool = new BufferPool()
  readonly #replies = new ReplyCache()
  readonly #streams: StreamPort
  readonly #datagrams: DatagramPort
  #port = 0
  #known: Known = { handles: [], names: NAMES }
  #last: Buffer = Buffer.alloc(40)

  static async start(seed: number): Promise<NfsFuzz> {
    const run = new NfsFuzz(seed, await makeLocalMatrix({ clock: 'real', nodes: 1, log: silentLog }))
    run.#port = await run.#streams.listen('127.0.0.1', 0)
    await run.#datagrams.listen('127.0.0.1', run.#port)
    return run
  }

  private constructor(seed: number, matrix: LocalMatrix) {
    this.#seed = seed
    this.#matrix = matrix
    const { fs } = matrix.nodes[0]!
    this.#fs = fs
    const open = { fs, clients: ['127.0.0.0/8'], squash: 'no_root_squash' } as const
    this.#exports = [makeExport({ path: '/home', ...open }), makeExport({ path: '/read', ...open, access: 'ro' })]
    const exports = () => this.#exports
    const common = { clock: realClock, log: silentLog }
    this.#wired = new NfsPrograms({
      ...{ ...common, exports, hostName: 'matrix', clientPortmapPort: NOWHERE },
      life: { slot: 0 as Slot, incarnation: 1 as Incarnation },
    })
    const services = new Services(
      '127.0.0.1',
      servedPrograms.map(({ number, version }) => ({ program: number, version, transport: 'tcp', port: 2049 })),
    )
    const { nfs, helpers } = this.#wired
    this.#programs = new Programs([nfs, ...helpers, ...portmapPrograms(() => services, realClock)])
    const ports = { ...common, pool: this.#pool, programs: this.#programs }
    this.#streams = new StreamPort({
      ...{ ...ports, limits: defaultLimits },
      client: (address, port) => this.#client('tcp', address, port),
    })
    this.#datagrams = new DatagramPort({ ...ports, client: ({ address, port }) => this.#client('udp', address, port) })
  }

  async input(number: number): Promise<string> {
    if (number % RENEW_EVERY === 0) await this.#renew()
    // every input by itself, so that the same one can be made again without those before it
    const prng = new Prng(Math.imul(this.#seed, 0x9e3779b1) ^ number)
    const call = makeCall(prng, this.#known)
    const dice = prng.below(1000)
    const other = this.#last
    this.#last = call.record
    if (dice < STREAMS_OF_1000) return this.#stream(prng, call)
    if (dice < STREAMS_OF_1000 + DATAGRAMS_OF_1000) return this.#datagram(prng, call, other)
    const client = this.#client('tcp', `127.8.0.${1 + prng.below(CLIENTS)}`, SMALLEST_PORT + prng.below(CLIENTS))
    if (dice < 400) {
      const reply = (await new CallSession(client, this.#pool).serve(this.#programs, call.record)) as Buffer
      if (!checkReply(call.record, reply) && call.isRight)
        throw new Error(`a call as the tables have it was refused: ${reply.toString('hex')}`)
      return `${call.program.name}, made`
    }
    const record = mutate(prng, call.record, other)
    const reply = await new CallSession(client, this.#pool).serve(this.#programs, record)
    if (reply) checkReply(record, reply)
    return `${call.program.name}, wrong`
  }

  async check(): Promise<void> {
    const client = this.#client('tcp', '127.8.0.99', SMALLEST_PORT)
    for (const { number, version } of servedPrograms) {
      const call = encodeCall({ xid: 1, program: number, version, procedure: 0 })
      const reply = await new CallSession(client, this.#pool).serve(this.#programs, call)
      if (!reply || !checkReply(call, reply)) throw new Error(`program ${number} is not served any more`)
    }
    const findings = await this.#matrix.check()
    if (findings.length > 0) throw new Error(`the filesystem is not sound: ${JSON.stringify(findings.slice(0, 5))}`)
  }

  async close(): Promise<void> {
    this.#streams.abandon()
    this.#datagrams.destroy()
    this.#wired.close()
    await this.#matrix.close()
  }

  #client(transport: Transport, address: string, port: number): Client {
    const replies = this.#replies.of(transport, address, port)
    return new Client({ transport, address, port, localAddress: '127.0.0.1', exports: () => this.#exports, replies })
  }

  /** Files, directories, a link; handles of them by both exports, and handles that are none. */
  async #renew(): Promise<void> {
    const fs = this.#fs
    this.#replies.expire(Number.MAX_SAFE_INTEGER, new Set())
    const inodes = [await fs.getattr(1)]
    const attributes = { mode: 0o777 }
    const find = async (name: string, make: () => Promise<unknown>) => {
      const found = async () => (await fs.lookup(ROOT, 1, name)).inode
      const inode = await found().catch(async () => {
        await make()
        return await found()
      })
      inodes.push(inode)
    }
    await find('file', async () => fs.create(ROOT, 1, 'file', attributes, 'unchecked'))
    await find('a', async () => fs.create(ROOT, 1, 'a', attributes, 'unchecked'))
    await find('dir', async () => fs.mkdir(ROOT, 1, 'dir', attributes))
    await find('link', async () => fs.symlink(ROOT, 1, 'link', 'file', attributes))
    const handles = this.#exports.flatMap(({ id }, index) =>
      inodes.map(({ ino, generation }) => {
        const bytes = Buffer.alloc(HANDLE_BYTES)
        const view = new DataView(bytes.buffer, bytes.byteOffset, HANDLE_BYTES)
        encodeHandle(view, 0, fs.fsid, id, ino, generation + (index === 1 && ino === 1 ? 1 : 0))
        return bytes
      }),
    )
    this.#known = {
      handles: [...handles, ...handles.slice(0, inodes.length), Buffer.alloc(64, 1), Buffer.alloc(0)],
      names: NAMES,
    }
  }

  /** Resolves once the server has closed the connection, or it was cut. */
  #stream(prng: Prng, call: MadeCall): Promise<string> {
    const good = marked(call.record)
    const parts = [
      good,
      mutate(prng, good, this.#last),
      marked(mutate(prng, call.record, this.#last)),
      prng.bytes(prng.below(64)),
    ]
    const bytes = Buffer.concat(Array.from({ length: 1 + prng.below(4) }, () => prng.pick(parts)))
    const cut = prng.chance(0.5)
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port: this.#port })
      socket.on('error', () => {}) // what it does not like it cuts
      socket.on('data', () => {})
      socket.on('close', () => resolve('stream'))
      socket.on('connect', () => {
        for (let at = 0; at < bytes.length; ) {
          const length = 1 + prng.below(bytes.length - at)
          socket.write(bytes.subarray(at, at + length))
          at += length
        }
        if (cut) socket.resetAndDestroy()
        else socket.end()
      })
      socket.setTimeout(4_000, () => reject(new Error('the server keeps a connection whose client is gone')))
    })
  }

  /** A wrong one, and then a right one that has to be answered. */
  async #datagram(prng: Prng, call: MadeCall, other: Buffer): Promise<string> {
    const datagrams = await RpcDatagrams.open(this.#port)
    try {
      datagrams.send(mutate(prng, call.record, other).subarray(0, 60_000))
      const { number, version } = call.program
      for (let tries = 0; tries < 3; tries++) {
        if (await datagrams.call({ program: number, version, procedure: 0 }, 1_000)) return 'datagram'
      }
      throw new Error('NULL was not answered after a wrong datagram')
    } finally {
      datagrams.close()
    }
  }
}
