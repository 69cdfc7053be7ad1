/** The content of a file, piece by piece: its digest, and its way from one tree to the other, with holes left where it is all zeroes. */
import { createHash } from 'node:crypto'
import type { FileSystem } from '@zenfs/core'
import { KiB, MiB } from '../base/units.ts'
import type { Tree } from './tree.ts'

/** Read and written at a time, bytes. */
const PIECE = 1 * MiB
/** What is all zeroes in such a unit is not written: the target has a hole there, bytes. */
const UNIT = 64 * KiB
const ZEROES = Buffer.alloc(UNIT)

/** Memory that copies under way share: a piece each. */
const idle: Buffer[] = []

export type Progress = (bytes: number) => void

/** Where a symbolic link leads; `size` as `stat` says. */
export async function linkText(tree: FileSystem, path: string, size: number): Promise<string> {
  const text = Buffer.alloc(size)
  await tree.read(path, text, 0, size)
  return text.toString()
}

/** SHA-256 of `size` bytes of a file, in hexadecimal. */
export async function digestOf(tree: FileSystem, path: string, size: number, read: Progress): Promise<string> {
  const hash = createHash('sha256')
  await eachPiece(tree, path, size, async (piece) => {
    hash.update(piece)
    read(piece.length)
  })
  return hash.digest('hex')
}

/** Into a file that is there and empty, which is `size` bytes long afterwards; gives the digest of what was read. */
export async function copyContent(
  from: { readonly tree: FileSystem; readonly path: string },
  to: { readonly tree: Tree; readonly path: string },
  size: number,
  copied: Progress,
): Promise<string> {
  const hash = createHash('sha256')
  let written = 0
  await eachPiece(from.tree, from.path, size, async (piece, offset) => {
    hash.update(piece)
    for (const { start, end } of runsOf(piece)) {
      await to.tree.write(to.path, piece.subarray(start, end), offset + start)
      written = offset + end
    }
    copied(piece.length)
  })
  if (written < size) await to.tree.touch(to.path, { size })
  return hash.digest('hex')
}

async function eachPiece(
  tree: FileSystem,
  path: string,
  size: number,
  use: (piece: Buffer, offset: number) => Promise<void>,
): Promise<void> {
  const buffer = idle.pop() ?? Buffer.allocUnsafeSlow(PIECE)
  try {
    for (let offset = 0; offset < size; offset += PIECE) {
      const piece = buffer.subarray(0, Math.min(PIECE, size - offset))
      await tree.read(path, piece, offset, offset + piece.length)
      await use(piece, offset)
    }
  } finally {
    idle.push(buffer)
  }
}

/** The parts of a piece that are not all zeroes, in units. */
function runsOf(piece: Buffer): { readonly start: number; readonly end: number }[] {
  const runs: { start: number; end: number }[] = []
  for (let start = 0; start < piece.length; start += UNIT) {
    const end = Math.min(start + UNIT, piece.length)
    if (piece.compare(ZEROES, 0, end - start, start, end) === 0) continue
    const last = runs.at(-1)
    if (last?.end === start) last.end = end
    else runs.push({ start, end })
  }
  return runs
}
