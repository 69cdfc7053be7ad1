/**
 * A host with locks, for tests: an address of its own (127.x.y.z), a lock manager and a status monitor that can be called back, found through a
 * port mapper of its own. It speaks by the tables, and answers GRANTED as the test says.
 */

import { makeExport } from '../../src/export/index.ts'
import { defaultLimits } from '../../src/gateway-nfs/limits.ts'
import * as n from '../../src/gateway-nfs/nlm/tables.ts'
import * as s from '../../src/gateway-nfs/nsm/tables.ts'
import { portmapPrograms } from '../../src/gateway-nfs/portmap/programs.ts'
import { Services } from '../../src/gateway-nfs/portmap/services.ts'
import { BufferPool } from '../../src/gateway-nfs/rpc/buffer-pool.ts'
import { Client } from '../../src/gateway-nfs/rpc/client.ts'
import { DatagramPort } from '../../src/gateway-nfs/rpc/datagrams.ts'
import { Programs } from '../../src/gateway-nfs/rpc/programs.ts'
import { ReplyCache } from '../../src/gateway-nfs/rpc/replies.ts'
import type { Program } from '../../src/gateway-nfs/rpc/session.ts'
import { StreamPort } from '../../src/gateway-nfs/rpc/streams.ts'
import { NoAnswer, TableProgram } from '../../src/gateway-nfs/rpc/table-program.ts'
import type { Transport } from '../../src/gateway-nfs/rpc/transport.ts'
import type { ArgsOfProcedure, ResultOfProcedure } from '../../src/gateway-nfs/xdr/procedure.ts'
import { silentLog } from '../../src/platform/log.ts'
import { realClock } from '../../src/platform/real/clock.ts'
import { MemoryFs } from './memory-fs.ts'
import { decodeWhole, encodeWith, NfsClient, type NfsUser } from './nfs-client.ts'
import { RpcDatagrams } from './rpc-datagrams.ts'

type Table = typeof n.nlmProcedures
export type NlmName = keyof Table

export type LockWish = {
  readonly file: Buffer
  readonly svid?: number
  readonly offset?: number | bigint
  readonly length?: number | bigint
  readonly exclusive?: boolean
  readonly block?: boolean
  readonly reclaim?: boolean
  readonly state?: number
}

export type NlmHostOptions = {
  readonly address: string
  readonly name: string
  /** Where all hosts of this test have their port mappers. */
  readonly portmapPort: number
  /** Of the server. */
  readonly port: number
  readonly transport?: Transport
  readonly user?: NfsUser
}

/** What came from the server. */
export type Heard = { readonly name: string; readonly args: unknown; readonly at: number }

/** A port for the port mappers of a test's hosts: below those that the system hands out by itself, which may be taken at any address. */
export function hostPortmapPort(): number {
  return 12_000 + Math.floor(Math.random() * 20_000)
}

export class NlmHost {
  readonly options: NlmHostOptions
  /** What GRANTED is answered with; 'silent': nothing. */
  onGranted: (args: n.NlmTestArgs) => number | 'silent' = () => n.NLM4_GRANTED
  readonly heard: Heard[] = []
  readonly #stream: NfsClient | undefined
  readonly #datagrams: RpcDatagrams | undefined
  readonly #close: (() => Promise<void>)[] = []
  #cookie = 0

  private constructor(options: NlmHostOptions, stream: NfsClient | undefined, datagrams: RpcDatagrams | undefined) {
    this.options = options
    this.#stream = stream
    this.#datagrams = datagrams
  }

  static async start(options: NlmHostOptions): Promise<NlmHost> {
    const { address, port, transport = 'tcp', user = { uid: 0, gid: 0 } } = options
    const stream = transport === 'tcp' ? await NfsClient.connect(port, { localAddress: address }) : undefined
    const datagrams = transport === 'udp' ? await RpcDatagrams.open(port, { localAddress: address }) : undefined
    for (const each of [stream, datagrams]) if (each) each.user = user
    const host = new NlmHost(options, stream, datagrams)
    await host.#serve().catch(async (error) => {
      await host.close()
      throw error
    })
    return host
  }

  async close(): Promise<void> {
    await this.#stream?.close()
    this.#datagrams?.close()
    for (const close of this.#close) await close()
  }

  /** Cuts its connection, as a host does that dies: nothing more is sent, and nothing is heard. */
  async die(): Promise<void> {
    await this.close()
  }

  async call<N extends NlmName>(
    name: N,
    args: ArgsOfProcedure<Table[N]>,
    xid?: number,
  ): Promise<ResultOfProcedure<Table[N]>> {
    const { number, args: argsType, result } = n.nlmProcedures[name]
    if (this.#datagrams) {
      const table = n.nlmProcedures[name] as never
      return (await this.#datagrams.ask(n.NLM_PROGRAM, n.NLM_V4, table, args, xid)) as ResultOfProcedure<Table[N]>
    }
    const bytes = encodeWith(argsType as never, args as never)
    const reply = await (this.#stream as NfsClient).rpc(n.NLM_PROGRAM, n.NLM_V4, number, bytes, xid)
    return decodeWhole(name, reply, result as never)
  }

  cookie(): Buffer {
    const cookie = Buffer.alloc(4)
    cookie.writeUInt32BE(++this.#cookie)
    return cookie
  }

  lockOf({ file, svid = 1, offset = 0, length = 0 }: LockWish): n.NlmLock {
    return {
      callerName: this.options.name,
      file,
      ownerHandle: Buffer.from(`${svid}@${this.options.name}`),
      svid,
      offset: BigInt(offset),
      length: BigInt(length),
    }
  }

  lockArgs(wish: LockWish): n.NlmLockArgs {
    const { exclusive = true, block = false, reclaim = false, state = 1 } = wish
    return { cookie: this.cookie(), block, exclusive, lock: this.lockOf(wish), reclaim, state }
  }

  /** nlm4_stats */
  async lock(wish: LockWish, xid?: number): Promise<number> {
    return (await this.call('LOCK', this.lockArgs(wish), xid)).status
  }

  async unlock(wish: LockWish, xid?: number): Promise<number> {
    return (await this.call('UNLOCK', { cookie: this.cookie(), lock: this.lockOf(wish) }, xid)).status
  }

  async cancel(wish: LockWish): Promise<number> {
    const { exclusive = true } = wish
    return (await this.call('CANCEL', { cookie: this.cookie(), block: true, exclusive, lock: this.lockOf(wish) }))
      .status
  }

  async test(wish: LockWish): Promise<n.NlmTestReply> {
    const { exclusive = true } = wish
    const args = { cookie: this.cookie(), exclusive, lock: this.lockOf(wish) }
    return (await this.call('TEST', args)).reply as n.NlmTestReply
  }

  async share(file: Buffer, access: number, deny: number, name: 'SHARE' | 'UNSHARE' = 'SHARE'): Promise<number> {
    const share = { callerName: this.options.name, file, ownerHandle: Buffer.from('o'), deny, access }
    return (await this.call(name, { cookie: this.cookie(), share, reclaim: false })).status
  }

  /** Any procedure of NSM, in this host's name. */
  async nsm<N extends keyof typeof s.nsmProcedures>(name: N, args: ArgsOfProcedure<(typeof s.nsmProcedures)[N]>) {
    const { number, args: argsType, result } = s.nsmProcedures[name]
    const bytes = encodeWith(argsType as never, args as never)
    const client = this.#stream ?? (await NfsClient.connect(this.options.port, { localAddress: this.options.address }))
    const reply = await client.rpc(s.NSM_PROGRAM, s.NSM_V1, number, bytes)
    if (!this.#stream) await client.close()
    return decodeWhole(name, reply, result as never) as ResultOfProcedure<(typeof s.nsmProcedures)[N]>
  }

  /** Resolves with what has come, or comes within a while, of this name. */
  async next(name: string, limitMs = 5000): Promise<Heard> {
    const deadline = performance.now() + limitMs
    while (performance.now() < deadline) {
      const at = this.heard.findIndex((each) => each.name === name)
      if (at >= 0) return this.heard.splice(at, 1)[0] as Heard
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    throw new Error(`no ${name} came to ${this.options.name} within ${limitMs} ms`)
  }

  async #serve(): Promise<void> {
    const { address, portmapPort } = this.options
    let services = new Services(address, [])
    const own = [this.#nlm(), this.#nsm()]
    const port = await this.#listen(own, 0)
    const transports = ['tcp', 'udp'] as const
    services = new Services(
      address,
      own.flatMap(({ number, version }) =>
        transports.map((transport) => ({ program: number, version, transport, port })),
      ),
    )
    await this.#listen(
      portmapPrograms(() => services, realClock),
      portmapPort,
    )
  }

  async #listen(list: readonly Program[], port: number): Promise<number> {
    const pool = new BufferPool()
    const replies = new ReplyCache()
    // to whom it answers: everybody
    const all = [makeExport({ path: '/all', fs: new MemoryFs().fs, clients: ['*'] })]
    const client = (transport: Transport) => (from: string, at: number, localAddress: string | undefined) =>
      new Client({
        transport,
        address: from,
        port: at,
        localAddress,
        exports: () => all,
        replies: replies.of(transport, from, at),
      })
    const common = { programs: new Programs(list), pool, log: silentLog }
    const streams = new StreamPort({ ...common, clock: realClock, limits: defaultLimits, client: client('tcp') })
    const datagrams = new DatagramPort({
      ...common,
      client: (from, local) => client('udp')(from.address, from.port, local),
    })
    const { address } = this.options
    let bound = 0
    for (let tries = 1; bound === 0; tries++) {
      const taken = await streams.listen(address, port)
      try {
        bound = await datagrams.listen(address, taken)
      } catch (error) {
        await streams.close()
        if (port !== 0 || tries === 8) throw error // a free one for TCP may be another's for UDP
      }
    }
    this.#close.push(async () => {
      streams.abandon()
      datagrams.destroy()
    })
    return bound
  }

  #nlm(): Program {
    const take = (name: NlmName) => (args: unknown) => void this.heard.push({ name, args, at: performance.now() })
    const granted = (name: 'GRANTED' | 'GRANTED_MSG', args: n.NlmTestArgs) => {
      take(name)(args)
      return this.onGranted(args)
    }
    const unused = () => {
      throw new NoAnswer('a client is not asked for this')
    }
    return new TableProgram({
      ...{ name: 'nlm', number: n.NLM_PROGRAM, version: n.NLM_V4, clock: realClock },
      table: n.nlmProcedures,
      handlers: {
        ...{ NULL: () => {}, TEST: unused, LOCK: unused, CANCEL: unused, UNLOCK: unused, TEST_MSG: unused },
        ...{ LOCK_MSG: unused, CANCEL_MSG: unused, UNLOCK_MSG: unused, GRANTED_RES: unused, SHARE: unused },
        ...{ UNSHARE: unused, NM_LOCK: unused, FREE_ALL: unused },
        GRANTED: (args) => {
          const status = granted('GRANTED', args)
          if (status === 'silent') throw new NoAnswer('silent')
          return { cookie: args.cookie, status }
        },
        GRANTED_MSG: (args) => {
          const status = granted('GRANTED_MSG', args)
          if (status !== 'silent') void this.call('GRANTED_RES', { cookie: args.cookie, status })
        },
        TEST_RES: take('TEST_RES'),
        LOCK_RES: take('LOCK_RES'),
        CANCEL_RES: take('CANCEL_RES'),
        UNLOCK_RES: take('UNLOCK_RES'),
      },
    })
  }

  #nsm(): Program {
    const unused = () => {
      throw new NoAnswer('a client is not asked for this')
    }
    return new TableProgram({
      ...{ name: 'nsm', number: s.NSM_PROGRAM, version: s.NSM_V1, clock: realClock },
      table: s.nsmProcedures,
      handlers: {
        ...{ NULL: () => {}, STAT: unused, MON: unused, UNMON: unused, UNMON_ALL: unused, SIMU_CRASH: unused },
        NOTIFY: (args) => void this.heard.push({ name: 'NOTIFY', args, at: performance.now() }),
      },
    })
  }
}
