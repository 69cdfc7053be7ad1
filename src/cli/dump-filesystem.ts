/**
 * `matrix fs dump`: the metadata of a filesystem as its LUNs tell of it, without any node: every name with what its inode says, or the whole image as a SQLite
 * database. File data is not read.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { MatrixError } from '../base/errors.ts'
import { type Ino, ROOT_INO } from '../base/ids.ts'
import { formatVector } from '../base/vector.ts'
import { Image, type InodeRecord } from '../metadata/index.ts'
import { lookAtImage } from './offline-image.ts'
import type { OfflineMatrix } from './offline-matrix.ts'

export type Dump = {
  readonly image: Image
  /** What the image is a function of. */
  readonly vector: string
  /** As a SQLite database file has them. */
  readonly bytes: Buffer
}

/** The caller closes the image. Rejects as `lookAtImage` does. */
export async function dumpFilesystem(matrix: OfflineMatrix, name: string): Promise<Dump> {
  const found = await lookAtImage(matrix, name, ({ image }) => {
    image.commit() // it equals a vector now
    return { bytes: image.serialize(), vector: formatVector(image.vector) }
  })
  return { ...found, image: await Image.load(found.bytes) }
}

/** Never over a file that is there. Rejects with MatrixError 'exists', or as the file system does. */
export async function writeDatabase(path: string, bytes: Buffer): Promise<void> {
  try {
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await file.writeFile(bytes)
    } finally {
      await file.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new MatrixError('exists', `${path} is there already; choose another --out`)
  }
}

export type DumpedName = {
  readonly path: string
  readonly ino: Ino
  readonly type: (typeof typeNames)[number]
  /** Octal permission bits. */
  readonly mode: string
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  /** Blocks of data on the LUNs. */
  readonly blocks: number
  /** ISO 8601. */
  readonly mtime: string
  /** Of a symbolic link. */
  readonly target?: string
}

/** By the type of an inode, from 1. */
const typeNames = ['file', 'directory', 'block', 'char', 'link', 'socket', 'fifo'] as const
const TYPE_LETTERS = '-dbclsp'
const DIRECTORY = 2
const LINK = 5
/** Entries of a directory that are fetched at once. */
const PAGE = 1000

/** Every name of the tree, a directory before what is in it; what no name leads to is not among them. */
export function* namesOf(image: Image): Generator<DumpedName> {
  const root = image.storedInode(ROOT_INO)
  if (!root) return
  yield named('/', root)
  const open: { readonly path: string; readonly dir: Ino }[] = [{ path: '', dir: ROOT_INO }]
  for (let at = open.pop(); at; at = open.pop()) {
    const { path, dir } = at
    for (let cookie = 0; ; ) {
      const entries = image.direntsAfter(dir, cookie, PAGE)
      for (const entry of entries) {
        cookie = entry.cookie
        const stored = image.storedInode(entry.ino)
        if (!stored) continue // matrix fs check tells of it
        const here = `${path}/${shown(entry.name)}`
        yield named(here, stored)
        if (stored.record.type === DIRECTORY) open.push({ path: here, dir: entry.ino })
      }
      if (entries.length < PAGE) break
    }
  }
}

function named(
  path: string,
  { record, blocks }: { readonly record: InodeRecord; readonly blocks: number },
): DumpedName {
  const { ino, type, mode, nlink, uid, gid, size, mtimeS, mtimeNs, target } = record
  return {
    ...{ path, ino, type: typeNames[type - 1] as DumpedName['type'], mode: mode.toString(8).padStart(4, '0') },
    ...{ nlink, uid, gid, size, blocks, mtime: new Date(mtimeS * 1000 + mtimeNs / 1e6).toISOString() },
    ...(type === LINK && { target: shown(target) }),
  }
}

/** Like a line of `ls -l`. */
export function describeName({ path, type, mode, nlink, uid, gid, size, mtime, target }: DumpedName): string {
  const letter = TYPE_LETTERS[typeNames.indexOf(type)]
  const owner = `${uid}:${gid}`.padEnd(11)
  const name = target === undefined ? path : `${path} -> ${target}`
  return `${letter}${mode} ${String(nlink).padStart(3)} ${owner} ${String(size).padStart(14)} ${mtime} ${printableName(name)}`
}

/** Names are anybody's bytes: a terminal gets none of its own. */
function printableName(name: string): string {
  return name.replace(/\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/** A byte string as people read it; what is no UTF-8 keeps a mark in its place. */
function shown(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8')
}
