/**
 * One node's way to the LUNs: a directory, mounted by FUSE, with one file per LUN that hands every read, write and flush on to the
 * real file. It is the node's SAN cable: it can be cut.
 *
 *   pass   everything goes through; every write is logged once it has been made
 *   hang   reads, writes and flushes get no answer. When that ends they fail: what was lost on the way never lands
 *   fail   they fail at once with EIO
 *
 * Writes and reads are made in the turn in which they are received, so the log has them in the order in which they reached the file, and
 * none is under way when the mode changes. A process that is killed in a call that hangs goes only once the call has ended, as on a
 * real device.
 */
import { closeSync, fdatasync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { basename } from 'node:path'
import { FuseDevice } from '../../../src/gateway-fuse/device.ts'
import { clearStaleMount, mountDevice } from '../../../src/gateway-fuse/mounting.ts'
import { MAX_TRANSFER, negotiate } from '../../../src/gateway-fuse/negotiate.ts'
import * as c from '../../../src/gateway-fuse/wire/constants.ts'
import {
  attr,
  attrOut,
  entryOut,
  offsetsOf,
  openOut,
  readIn,
  writeIn,
  writeOut,
} from '../../../src/gateway-fuse/wire/layouts.ts'
import { Reply } from '../../../src/gateway-fuse/wire/reply.ts'
import { Request } from '../../../src/gateway-fuse/wire/request.ts'
import type { WriteLog } from './write-log.ts'

export const modes = ['pass', 'hang', 'fail'] as const
export type Mode = (typeof modes)[number]

const { opcodes } = c
/** Writes of one file go side by side, as to a device (linux/fuse.h). */
const FOPEN_NOFLUSH = 1 << 5
const FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6
const ROOT = 1
const FIRST = 2
const LOOKUP_LIMIT = 60

const [a, e, r, w] = [offsetsOf(attr), offsetsOf(entryOut), offsetsOf(readIn), offsetsOf(writeIn)]
const [oo, wo] = [offsetsOf(openOut), offsetsOf(writeOut)]

type Unique = { readonly low: number; readonly high: number }

export class LunMount {
  readonly #node: number
  readonly #names: readonly string[]
  readonly #fds: readonly number[]
  readonly #log: WriteLog
  readonly #device: FuseDevice
  readonly #request: Request
  readonly #reply = new Reply()
  readonly #readBuffer = Buffer.alloc(MAX_TRANSFER)
  #mode: Mode = 'pass'
  #held: Unique[] = []
  #initialized: () => void = () => {}
  readonly #ready = new Promise<void>((resolve) => {
    this.#initialized = resolve
  })

  /** `node` is its index in the log. */
  static async start(options: {
    readonly directory: string
    readonly node: number
    readonly luns: readonly string[]
    readonly log: WriteLog
  }): Promise<LunMount> {
    await clearStaleMount(options.directory)
    const mount = new LunMount(options.node, options.luns, options.log)
    await mountDevice(mount.#device.fd, 'san-switch', options.directory)
    mount.#device.start(
      (length) => mount.#serve(length),
      () => {},
    )
    await mount.#ready
    return mount
  }

  private constructor(node: number, luns: readonly string[], log: WriteLog) {
    this.#node = node
    this.#names = luns.map((path) => basename(path))
    this.#fds = luns.map((path) => openSync(path, 'r+'))
    this.#log = log
    this.#device = FuseDevice.open()
    this.#request = new Request(this.#device.buffer)
  }

  setMode(mode: Mode): void {
    this.#mode = mode
    if (mode === 'hang') return
    for (const unique of this.#held.splice(0)) this.#answer(unique, c.EIO)
  }

  close(): void {
    this.#device.close()
    for (const fd of this.#fds) closeSync(fd)
  }

  #serve(length: number): void {
    const request = this.#request.take(length)
    const { opcode } = request
    const unique: Unique = { low: request.uniqueLow, high: request.uniqueHigh }
    if (opcode === opcodes.FORGET || opcode === opcodes.BATCH_FORGET || opcode === opcodes.INTERRUPT) return
    if (opcode === opcodes.READ || opcode === opcodes.WRITE || opcode === opcodes.FSYNC) {
      if (this.#mode === 'hang') this.#held.push(unique)
      else if (this.#mode === 'fail') this.#answer(unique, c.EIO)
      else this.#transfer(opcode, request, unique)
      return
    }
    this.#reply.begin()
    this.#answer(unique, this.#control(opcode, request))
  }

  /** What is asked of a device without going to it: names and sizes. Fills the reply; gives errno. */
  #control(opcode: number, request: Request): number {
    switch (opcode) {
      case opcodes.INIT:
        if (negotiate(request, this.#reply).kind === 'agreed') this.#initialized()
        return 0
      case opcodes.LOOKUP: {
        const index = this.#names.indexOf(request.name())
        if (request.ino !== ROOT || index < 0) return c.ENOENT
        const at = this.#reply.take(entryOut.size)
        this.#reply.u64(at + e.nodeid, index + FIRST)
        this.#reply.u64(at + e.entry_valid, LOOKUP_LIMIT)
        this.#putAttributes(index + FIRST)
        return 0
      }
      case opcodes.GETATTR:
        this.#reply.take(attrOut.size)
        this.#putAttributes(request.ino)
        return 0
      case opcodes.OPEN: {
        const at = this.#reply.take(openOut.size)
        const flags = c.FOPEN_DIRECT_IO | FOPEN_NOFLUSH | FOPEN_PARALLEL_DIRECT_WRITES
        this.#reply.u32(at + oo.open_flags, flags)
        return 0
      }
      case opcodes.RELEASE:
      case opcodes.DESTROY:
        return 0
      default:
        return c.ENOSYS
    }
  }

  #putAttributes(ino: number): void {
    const at = this.#reply.take(attr.size)
    const isRoot = ino === ROOT
    this.#reply.u64(at + a.ino, ino)
    this.#reply.u32(at + a.mode, isRoot ? 0o040700 : 0o100600)
    this.#reply.u32(at + a.nlink, isRoot ? 2 : 1)
    if (!isRoot) this.#reply.u64(at + a.size, fstatSync(this.#fd(ino)).size)
  }

  #fd(ino: number): number {
    const fd = this.#fds[ino - FIRST]
    if (fd === undefined) throw new Error(`the kernel asks for file ${ino}, which there is not`)
    return fd
  }

  #transfer(opcode: number, request: Request, unique: Unique): void {
    const fd = this.#fd(request.ino)
    if (opcode === opcodes.FSYNC) {
      fdatasync(fd, (error) => {
        this.#reply.begin()
        this.#answer(unique, error ? c.EIO : 0)
      })
      return
    }
    const reply = this.#reply.begin()
    if (opcode === opcodes.READ) {
      const length = readSync(fd, this.#readBuffer, 0, request.u32(r.size), request.u64(r.offset))
      reply.attach([this.#readBuffer], length)
    } else {
      const offset = request.u64(w.offset)
      const data = request.data(writeIn.size, request.u32(w.size))
      const length = writeSync(fd, data, 0, data.length, offset)
      this.#log.add(this.#node, request.ino - FIRST, offset, data.subarray(0, length))
      reply.u32(reply.take(writeOut.size) + wo.size, length)
    }
    this.#answer(unique, 0)
  }

  /** Of the reply as it stands, or of `errno`. */
  #answer({ low, high }: Unique, errno: number): void {
    if (errno !== 0) this.#reply.begin()
    this.#device.write(this.#reply.end(low, high, errno))
  }
}
