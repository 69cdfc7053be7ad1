/** Byte-range locks: GETLK, SETLK, SETLKW (fcntl(2), and flock(2) with a flag), and FLUSH, which is close(2). */
import { FsError } from '../../base/errors.ts'
import { RANGE_END, type RangeMode, type RangeWait } from '../../locking/index.ts'
import type { LockSpan } from '../mount-locks.ts'
import * as c from '../wire/constants.ts'
import { flushIn, lockIn, lockOut, offsetsOf } from '../wire/layouts.ts'
import type { Request } from '../wire/request.ts'
import { type Call, FuseFailure, type Operation } from './operation.ts'

const i = offsetsOf(lockIn)
const o = offsetsOf(lockOut)

type LockArgs = {
  readonly owner: string
  readonly span: LockSpan
  /** Undefined: unlock. */
  readonly mode: RangeMode | undefined
  readonly pid: number
}

function decode(request: Request): LockArgs {
  const type = request.u32(i.type)
  const isFlock = (request.u32(i.lk_flags) & c.FUSE_LK_FLOCK) !== 0
  // files are far shorter than what a range can hold: beyond that all ranges are one
  const range = {
    start: Math.min(request.u64(i.start), RANGE_END),
    end: Math.min(request.u64(i.end), RANGE_END),
  }
  return {
    owner: request.hex64(i.owner),
    span: isFlock ? 'flock' : range,
    mode: type === c.F_UNLCK ? undefined : type === c.F_WRLCK ? 'exclusive' : 'shared',
    pid: request.u32(i.pid),
  }
}

type Found = { readonly start: number; readonly end: number; readonly mode: RangeMode; readonly pid: number }

export const getlk: Operation<LockArgs, Found | undefined> = {
  name: 'GETLK',
  decode,
  run: async ({ locks, ino }, { owner, span, mode }) => mode && (await locks.test(ino, owner, span, mode)),
  encode(out, found) {
    const at = out.take(lockOut.size)
    out.u64(at + o.start, found?.start ?? 0)
    out.u64(at + o.end, found?.end ?? 0)
    if (found?.end === RANGE_END) {
      out.u32(at + o.end, 0xffff_ffff)
      out.u32(at + o.end + 4, 0x7fff_ffff)
    }
    out.u32(at + o.type, !found ? c.F_UNLCK : found.mode === 'exclusive' ? c.F_WRLCK : c.F_RDLCK)
    out.u32(at + o.pid, found?.pid ?? 0)
  },
}

export const setlk: Operation<LockArgs, void> = {
  name: 'SETLK',
  decode,
  async run({ locks, ino }, { owner, span, mode, pid }) {
    if (!mode) await locks.release(ino, owner, span)
    else if (!(await locks.take(ino, owner, span, mode, pid))) throw new FuseFailure(c.EAGAIN)
  },
  unanswered: taken,
}

type WaitArgs = LockArgs & { interrupted: boolean; wait: RangeWait | undefined }

export const setlkw: Operation<WaitArgs, void> = {
  name: 'SETLKW',
  decode: (request) => ({ ...decode(request), interrupted: false, wait: undefined }),
  async run({ locks, ino }, args) {
    const { owner, span, mode, pid } = args
    if (!mode) return locks.release(ino, owner, span)
    if (args.interrupted) throw new FsError('EINTR')
    // flock(2): what is to be changed is given up before it is waited for, so that two that both change theirs do not wait for ever
    if (span === 'flock') {
      if (await locks.take(ino, owner, span, mode, pid)) return
      await locks.release(ino, owner, span)
      if (args.interrupted) throw new FsError('EINTR')
    }
    args.wait = locks.wait(ino, owner, span, mode, pid)
    try {
      await args.wait.granted
    } finally {
      args.wait = undefined
    }
  },
  interrupt({ locks }, args) {
    args.interrupted = true
    if (args.wait) locks.cancel(args.wait)
  },
  unanswered: taken,
}

/** Whoever asked has gone: nobody will unlock it. */
function taken({ locks, ino }: Call, _result: unknown, { owner, span, mode }: LockArgs): void {
  if (mode) locks.closed(ino, owner, span === 'flock' ? 'flock' : 'fcntl')
}

const f = offsetsOf(flushIn)

export const flush: Operation<string, unknown> = {
  name: 'FLUSH',
  decode: (request) => request.hex64(f.lock_owner),
  run: ({ locks, ino }, owner) => (locks.mayHold(ino, owner) ? locks.releaseAll(ino, owner, 'fcntl') : undefined),
}
