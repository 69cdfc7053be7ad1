/**
 * A storm of RPC calls: C connections, each with D calls under way, for some seconds. Made to cost less than any server: calls are
 * patched copies of prepared records, many in one write; of a reply only the head is looked at. What it costs itself is reported,
 * so that a result that it has limited is known as such.
 */
import { connect, type Socket } from 'node:net'
import type { Target } from './target.ts'

export type Workload = {
  readonly name: string
  /** Writes call number `index` as a marked record at `at`, with this xid; returns its end. */
  write(out: Buffer, at: number, xid: number, index: number): number
  /** Longest record, bytes. */
  readonly callBytes: number
  /** Payload per call, bytes; 0 when calls are what counts. */
  readonly payload: number
  /** Directory entries per call, on average, where they are what counts. */
  readonly entries?: number
}

export type StormOptions = { readonly connections: number; readonly depth: number; readonly seconds: number }

export type StormResult = {
  readonly calls: number
  readonly errors: number
  readonly perSecond: number
  readonly p50Us: number
  readonly p99Us: number
  /** CPU time of this process per call, and the part of one core that it used. */
  readonly clientUs: number
  readonly clientLoad: number
}

/** Mark, xid, type, stat, verifier (8), accept stat, NFS status. */
const HEAD_BYTES = 32
const RECEIVE_BYTES = 1 << 20

export async function storm(target: Target, workload: Workload, options: StormOptions): Promise<StormResult> {
  const run = new Run(workload, options)
  const cpu = process.cpuUsage()
  const started = performance.now()
  await Promise.all(Array.from({ length: options.connections }, () => run.connection(target)))
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const { calls, errors } = run
  return {
    calls,
    errors,
    perSecond: calls / seconds,
    p50Us: run.percentile(0.5),
    p99Us: run.percentile(0.99),
    clientUs: (user + system) / calls,
    clientLoad: (user + system) / 1e6 / seconds,
  }
}

class Run {
  readonly #workload: Workload
  readonly #depth: number
  readonly #end: number
  #index = 0
  calls = 0
  errors = 0
  /** Latencies: bucket i counts those of about 2^(i/16) µs. */
  readonly #buckets = new Uint32Array(16 * 32)

  constructor(workload: Workload, { depth, seconds }: StormOptions) {
    this.#workload = workload
    this.#depth = depth
    this.#end = performance.now() + seconds * 1000
  }

  connection({ host, port }: Target): Promise<void> {
    return new Promise((resolve, reject) => {
      const head = Buffer.alloc(HEAD_BYTES)
      let headBytes = 0
      let skip = 0
      const sentAt = new Float64Array(this.#depth)
      let underWay = 0
      const free: number[] = []
      const send = (socket: Socket, now: number) => {
        if (free.length === 0 || now >= this.#end) return
        let out = Buffer.allocUnsafe(free.length * this.#workload.callBytes)
        let at = 0
        for (const slot of free) {
          at = this.#workload.write(out, at, slot, this.#index++)
          sentAt[slot] = now
          underWay++
        }
        free.length = 0
        out = out.subarray(0, at)
        socket.write(out)
      }
      const answered = (now: number) => {
        const slot = head.readUInt32BE(4)
        if (head.readUInt32BE(24) !== 0 || (headBytes === HEAD_BYTES && head.readUInt32BE(28) !== 0)) this.errors++
        this.calls++
        underWay--
        free.push(slot)
        this.#count((now - (sentAt[slot] as number)) * 1000)
      }
      const received = (bytes: number, buffer: Buffer): boolean => {
        const now = performance.now()
        for (let at = 0; at < bytes; ) {
          if (skip > 0) {
            const some = Math.min(skip, bytes - at)
            skip -= some
            at += some
            continue
          }
          // a NULL reply is 4 bytes shorter than the head of the others
          const wanted = headBytes < 4 ? 4 : Math.min(HEAD_BYTES, 4 + (head.readUInt32BE(0) & 0x7fffffff))
          const some = Math.min(wanted - headBytes, bytes - at)
          buffer.copy(head, headBytes, at, at + some)
          headBytes += some
          at += some
          if (headBytes < 4 || headBytes < Math.min(HEAD_BYTES, 4 + (head.readUInt32BE(0) & 0x7fffffff))) continue
          skip = 4 + (head.readUInt32BE(0) & 0x7fffffff) - headBytes
          answered(now)
          headBytes = 0
        }
        send(socket, now)
        if (underWay === 0) socket.destroy()
        return true
      }
      const onread = { buffer: Buffer.alloc(RECEIVE_BYTES), callback: received as never }
      const socket: Socket = connect({ host, port, noDelay: true, onread }, () => {
        for (let slot = 0; slot < this.#depth; slot++) free.push(slot)
        send(socket, performance.now())
      })
      socket.on('error', reject)
      socket.on('close', () => (underWay === 0 ? resolve() : reject(new Error('the server closed the connection'))))
    })
  }

  #count(us: number): void {
    const bucket = Math.max(0, Math.min(this.#buckets.length - 1, Math.round(Math.log2(us) * 16)))
    this.#buckets[bucket]!++
  }

  /** µs, to 5 %. */
  percentile(part: number): number {
    let left = this.calls * part
    for (const [bucket, count] of this.#buckets.entries()) {
      left -= count
      if (left <= 0) return 2 ** (bucket / 16)
    }
    return 0
  }
}
