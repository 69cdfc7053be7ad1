/** Open directories: OPENDIR, READDIR, FSYNCDIR, RELEASEDIR. Not READDIRPLUS: attributes that expire at once are of no use. */
import type { DirListing } from '../../metadata/index.ts'
import { typeBits } from '../wire/attributes.ts'
import { dirent, offsetsOf, openOut, readIn } from '../wire/layouts.ts'
import { type Operation, superuser } from './operation.ts'

/** Open like a file, so that a directory which is removed meanwhile is there until its last close. */
export const opendir: Operation<undefined, unknown> = {
  name: 'OPENDIR',
  decode: () => undefined,
  run: ({ opens, ino }) => opens.open(ino),
  encode: (out) => void out.take(openOut.size),
  unanswered: ({ opens, ino }) => opens.close(ino),
}

export const releasedir: Operation<undefined, unknown> = {
  name: 'RELEASEDIR',
  decode: () => undefined,
  run: ({ opens, ino }) => opens.close(ino),
}

const r = offsetsOf(readIn)
const d = offsetsOf(dirent)
const ALIGN = 8
/** Bytes of an entry with the shortest name. */
const MIN_ENTRY = dirent.size + ALIGN

type ReaddirArgs = { readonly cookie: number; readonly size: number }

export const readdir: Operation<ReaddirArgs, DirListing> = {
  name: 'READDIR',
  inDirectory: true,
  decode: (request) => ({ cookie: request.u64(r.offset), size: request.u32(r.size) }),
  run: ({ fs, ino }, { cookie, size }) => fs.readdir(superuser, ino, cookie, Math.max(1, Math.floor(size / MIN_ENTRY))),
  /** As many entries as have room; the kernel goes on behind the last. */
  encode(out, { entries }, { size }) {
    const end = out.at + size
    for (const { ino, cookie, name, type } of entries) {
      const bytes = Math.ceil((dirent.size + name.length) / ALIGN) * ALIGN
      if (out.at + bytes > end) return
      const at = out.take(bytes)
      out.u64(at + d.ino, ino)
      out.u64(at + d.off, cookie)
      out.u32(at + d.namelen, name.length)
      out.u32(at + d.type, typeBits[type]! >> 12)
      out.bytes.write(name, at + dirent.size, 'latin1')
    }
  },
}

/** Everything that was changed through this node before is in the journal, the directory's entries among it. */
export const fsyncdir: Operation<undefined, unknown> = {
  name: 'FSYNCDIR',
  decode: () => undefined,
  run: ({ fs }) =>
    new Promise<void>((resolve, reject) => fs.afterDurable((error) => (error ? reject(error) : resolve()))),
}
