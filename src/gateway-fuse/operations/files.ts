/** Open files: OPEN, CREATE, READ, WRITE, FSYNC, RELEASE. */
import { isFsError } from '../../base/errors.ts'
import { FILE_MAX } from '../../base/limits.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { Inode, ReadResult } from '../../metadata/index.ts'
import { putEntry } from '../wire/attributes.ts'
import * as c from '../wire/constants.ts'
import { createIn, offsetsOf, openIn, openOut, readIn, releaseIn, writeIn, writeOut } from '../wire/layouts.ts'
import type { Reply } from '../wire/reply.ts'
import { born, type Call, FuseFailure, maker, type Operation, stranger, superuser, then } from './operation.ts'

const oo = offsetsOf(openOut)

/** Past the kernel's cache, so that what other nodes write is read. */
function putOpened(out: Reply): void {
  const at = out.take(openOut.size)
  out.u32(at + oo.open_flags, c.FOPEN_DIRECT_IO)
}

const o = offsetsOf(openIn)
type OpenArgs = { readonly truncate: boolean; readonly dropSetId: boolean }

export const open: Operation<OpenArgs, unknown> = {
  name: 'OPEN',
  decode: (request) => ({
    truncate: (request.u32(o.flags) & c.O_TRUNC) !== 0,
    dropSetId: (request.u32(o.open_flags) & c.FUSE_OPEN_KILL_SUIDGID) !== 0,
  }),
  run(call, args) {
    const { opens, fs, ino } = call
    const opened = opens.open(ino)
    if (!args.truncate) return opened
    return then(opened, () =>
      closedOnFailure(call, () => fs.setattr(superuser, ino, { size: 0, dropSetId: args.dropSetId })),
    )
  },
  encode: (out) => putOpened(out),
  unanswered: ({ opens, ino }) => opens.close(ino),
}

function closedOnFailure<T>({ opens, ino }: Call, action: () => MaybePromise<T>): MaybePromise<T> {
  const failed = (error: unknown): never => {
    opens.close(ino)
    throw error
  }
  try {
    const result = action()
    return isPromise(result) ? result.catch(failed) : result
  } catch (error) {
    return failed(error)
  }
}

const cr = offsetsOf(createIn)
type CreateArgs = { readonly name: string; readonly mode: number; readonly exclusive: boolean }

/**
 * Makes and opens a file. The kernel asks for it when it has just found the name missing, and has checked permission for nothing but
 * making it. When another node was faster and open(2) would take that file as well, ESTALE makes the kernel look again.
 */
export const create: Operation<CreateArgs, Inode> = {
  name: 'CREATE',
  inDirectory: true,
  decode: (request) => ({
    name: request.name(createIn.size),
    mode: request.u32(cr.mode),
    exclusive: (request.u32(cr.flags) & c.O_EXCL) !== 0,
  }),
  run(call, { name, mode, exclusive }) {
    const { fs, opens, ino } = call
    const failed = (error: unknown): never => {
      throw isFsError(error, 'EEXIST') && !exclusive ? new FuseFailure(c.ESTALE) : error
    }
    try {
      const made = then(fs.create(maker(call), ino, name, born(call, mode), 'guarded'), ({ inode }) =>
        opens.open(inode.ino),
      )
      return isPromise(made) ? made.catch(failed) : made
    } catch (error) {
      return failed(error)
    }
  },
  encode(out, inode) {
    putEntry(out, inode)
    putOpened(out)
  },
  unanswered: ({ opens }, inode) => opens.close(inode.ino),
}

const r = offsetsOf(readIn)
type ReadArgs = { readonly offset: number; readonly size: number }
const nothing = { pieces: [], length: 0 }

export const read: Operation<ReadArgs, Pick<ReadResult, 'pieces' | 'length'>> = {
  name: 'READ',
  decode: (request) => ({ offset: request.u64(r.offset), size: request.u32(r.size) }),
  run: ({ fs, ino }, { offset, size }) => (offset >= FILE_MAX ? nothing : fs.read(superuser, ino, offset, size, true)),
  encode: (out, { pieces, length }) => out.attach(pieces, length),
}

const w = offsetsOf(writeIn)
const wo = offsetsOf(writeOut)
type WriteArgs = {
  readonly offset: number | 'end'
  readonly length: number
  data: Buffer
  readonly stable: boolean
  readonly dropSetId: boolean
  /** What is left is to make it durable: when that is tried again, nothing is appended twice. */
  written: boolean
}

/**
 * What the kernel writes back from a shared mapping (FUSE_WRITE_CACHE) has its place; what a program writes with O_APPEND goes to
 * the end as it is now, wherever the kernel believes it to be.
 */
export const write: Operation<WriteArgs, number> = {
  name: 'WRITE',
  decode(request) {
    const writeFlags = request.u32(w.write_flags)
    const flags = request.u32(w.flags)
    const append = (flags & c.O_APPEND) !== 0 && (writeFlags & c.FUSE_WRITE_CACHE) === 0
    const offset = request.u64(w.offset)
    if (!append && offset >= FILE_MAX) throw new FuseFailure(c.EFBIG)
    const length = request.u32(w.size)
    return {
      offset: append ? 'end' : offset,
      length,
      data: request.data(writeIn.size, length),
      stable: (flags & c.O_DSYNC) !== 0,
      dropSetId: (writeFlags & c.FUSE_WRITE_KILL_SUIDGID) !== 0,
      written: false,
    }
  },
  keep(args) {
    if (!args.written) args.data = Buffer.from(args.data)
  },
  run({ fs, ino }, args) {
    const { length } = args
    const finish = (): MaybePromise<number> => {
      args.written = true
      return args.stable ? then(fs.commitFile(ino), () => length) : length
    }
    if (args.written) return finish()
    const caller = args.dropSetId ? stranger : superuser
    return then(fs.write(caller, ino, args.offset, args.data, false, true), finish)
  },
  encode: (out, length) => out.u32(out.take(writeOut.size) + wo.size, length),
}

/** Data and attributes, in the metadata's journal too: fsync and fdatasync alike. */
export const fsync: Operation<undefined, unknown> = {
  name: 'FSYNC',
  decode: () => undefined,
  run: ({ fs, ino }) => fs.commitFile(ino),
}

const rl = offsetsOf(releaseIn)

/** The last descriptor of an open file is closed: its flock goes with it, and with the last open file of this mount all locks. */
export const release: Operation<string | undefined, unknown> = {
  name: 'RELEASE',
  decode: (request) =>
    (request.u32(rl.release_flags) & c.FUSE_RELEASE_FLOCK_UNLOCK) === 0 ? undefined : request.hex64(rl.lock_owner),
  run({ opens, locks, ino }, flockOwner) {
    opens.close(ino)
    if (!opens.has(ino)) locks.forget(ino)
    else if (flockOwner !== undefined) locks.closed(ino, flockOwner, 'flock')
  },
}
