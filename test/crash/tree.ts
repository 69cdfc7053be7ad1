/** The whole tree of a filesystem as a client sees it: every name, every attribute, every byte. */
import { ROOT_INO } from '../../src/base/ids.ts'
import { DIR, type FileType, LNK, type MatrixFs, REG } from '../../src/metadata/index.ts'
import { ROOT } from '../sim/calls.ts'

export type Seen = {
  readonly ino: number
  readonly type: FileType
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly target: string
  readonly rdev: { readonly major: number; readonly minor: number }
  readonly mtime: { readonly s: number; readonly ns: number }
  /** Of regular files. */
  readonly bytes: Buffer | undefined
}

/** By path, without the root. */
export type Tree = ReadonlyMap<string, Seen>

export async function readTree(fs: MatrixFs): Promise<Tree> {
  const out = new Map<string, Seen>()
  const visit = async (dir: number, prefix: string): Promise<void> => {
    const { entries, eof } = await fs.readdir(ROOT, dir, 2, 10_000)
    if (!eof) throw new Error(`the listing of /${prefix} does not end`)
    for (const { name, ino, type } of [...entries]) {
      const { inode } = await fs.lookup(ROOT, dir, name)
      if (inode.ino !== ino || inode.type !== type)
        throw new Error(
          `/${prefix}${name} is listed as inode ${ino}, type ${type}; looked up it is ${inode.ino}, type ${inode.type}`,
        )
      const { mode, nlink, uid, gid, size, rdevMajor, rdevMinor, mtimeS, mtimeNs } = inode
      const target = type === LNK ? (await fs.readlink(ROOT, ino)).target : ''
      out.set(prefix + name, {
        ...{ ino, type, mode, nlink, uid, gid, target },
        rdev: { major: rdevMajor, minor: rdevMinor },
        mtime: { s: mtimeS, ns: mtimeNs },
        bytes: type === REG ? await readFile(fs, ino, size) : undefined,
      })
      if (type === DIR) await visit(ino, `${prefix}${name}/`)
    }
  }
  await visit(ROOT_INO, '')
  return out
}

export async function readFile(fs: MatrixFs, ino: number, size: number): Promise<Buffer> {
  const { pieces, length, eof } = await fs.read(ROOT, ino, 0, size + 1)
  const bytes = Buffer.concat(pieces)
  if (length !== size || bytes.length !== size || !eof)
    throw new Error(`inode ${ino} has ${size} bytes, ${bytes.length} were read`)
  return bytes
}
