/** What finds, makes and removes names: LOOKUP, READLINK, SYMLINK, MKNOD, MKDIR, LINK, UNLINK, RMDIR, RENAME, RENAME2. */
import type { Ino } from '../../base/ids.ts'
import { type FileType, type Inode, REG } from '../../metadata/index.ts'
import { decodeDevice, putEntry, typeOfMode } from '../wire/attributes.ts'
import { EINVAL, RENAME_NOREPLACE } from '../wire/constants.ts'
import { linkIn, mkdirIn, mknodIn, offsetsOf, rename2In, renameIn } from '../wire/layouts.ts'
import type { Reply } from '../wire/reply.ts'
import { born, type Call, FuseFailure, maker, type Operation, superuser, then } from './operation.ts'

const encodeEntry = (out: Reply, inode: Inode) => putEntry(out, inode)
const inodeOf = ({ inode }: { readonly inode: Inode }) => inode

export const lookup: Operation<string, Inode> = {
  name: 'LOOKUP',
  inDirectory: true,
  decode: (request) => request.name(),
  run: ({ fs, found, ino }, name) => then(fs.lookup(superuser, ino, name), ({ inode }) => found.note(inode)),
  encode: encodeEntry,
}

export const readlink: Operation<undefined, string> = {
  name: 'READLINK',
  decode: () => undefined,
  run: ({ fs, ino }) => then(fs.readlink(superuser, ino), ({ target }) => target),
  encode: (out, target) => out.text(target),
}

export const symlink: Operation<{ name: string; target: string }, Inode> = {
  name: 'SYMLINK',
  inDirectory: true,
  decode: (request) => ({ name: request.name(), target: request.nextName() }),
  run(call, { name, target }) {
    return then(call.fs.symlink(maker(call), call.ino, name, target, born(call, 0o777)), inodeOf)
  },
  encode: encodeEntry,
}

const m = offsetsOf(mknodIn)

export const mknod: Operation<{ name: string; mode: number; type: FileType; rdev: number }, Inode> = {
  name: 'MKNOD',
  inDirectory: true,
  decode(request) {
    const mode = request.u32(m.mode)
    const type = typeOfMode(mode)
    if (type === undefined) throw new FuseFailure(EINVAL)
    return { name: request.name(mknodIn.size), mode, type, rdev: request.u32(m.rdev) }
  },
  run(call, { name, mode, type, rdev }) {
    const { fs, ino } = call
    const attributes = born(call, mode)
    if (type === REG) return then(fs.create(maker(call), ino, name, attributes, 'guarded'), inodeOf)
    const { major, minor } = decodeDevice(rdev)
    return then(fs.mknod(maker(call), ino, name, type, attributes, major, minor), inodeOf)
  },
  encode: encodeEntry,
}

const d = offsetsOf(mkdirIn)

export const mkdir: Operation<{ name: string; mode: number }, Inode> = {
  name: 'MKDIR',
  inDirectory: true,
  decode: (request) => ({ name: request.name(mkdirIn.size), mode: request.u32(d.mode) }),
  run: (call, { name, mode }) => then(call.fs.mkdir(maker(call), call.ino, name, born(call, mode)), inodeOf),
  encode: encodeEntry,
}

const l = offsetsOf(linkIn)

export const link: Operation<{ name: string; target: Ino }, Inode> = {
  name: 'LINK',
  inDirectory: true,
  decode: (request) => ({ name: request.name(linkIn.size), target: request.u64(l.oldnodeid) }),
  run: ({ fs, ino }, { name, target }) => then(fs.link(superuser, target, ino, name), inodeOf),
  encode: encodeEntry,
}

export const unlink: Operation<string, unknown> = {
  name: 'UNLINK',
  inDirectory: true,
  decode: (request) => request.name(),
  run: ({ fs, ino }, name) => fs.remove(superuser, ino, name),
}

export const rmdir: Operation<string, unknown> = {
  name: 'RMDIR',
  inDirectory: true,
  decode: (request) => request.name(),
  run: ({ fs, ino }, name) => fs.rmdir(superuser, ino, name),
}

type RenameArgs = { from: string; toDir: Ino; to: string; noReplace: boolean }

const runRename = ({ fs, ino }: Call, { from, toDir, to, noReplace }: RenameArgs) =>
  fs.rename(superuser, ino, from, toDir, to, { noReplace })

const r = offsetsOf(renameIn)

export const rename: Operation<RenameArgs, unknown> = {
  name: 'RENAME',
  inDirectory: true,
  decode(request) {
    return { from: request.name(renameIn.size), to: request.nextName(), toDir: request.u64(r.newdir), noReplace: false }
  },
  run: runRename,
}

const r2 = offsetsOf(rename2In)

/** renameat2(2). EXCHANGE and WHITEOUT are not there. */
export const rename2: Operation<RenameArgs, unknown> = {
  name: 'RENAME2',
  inDirectory: true,
  decode(request) {
    const flags = request.u32(r2.flags)
    if ((flags & ~RENAME_NOREPLACE) !== 0) throw new FuseFailure(EINVAL)
    const noReplace = (flags & RENAME_NOREPLACE) !== 0
    return { from: request.name(rename2In.size), to: request.nextName(), toDir: request.u64(r2.newdir), noReplace }
  },
  run: runRename,
}
