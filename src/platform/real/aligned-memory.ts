/**
 * Memory that begins at a page, as direct I/O wants it. Node's own buffers begin anywhere; views of a WebAssembly memory do not move, and begin
 * where they say. Buffers have sizes of powers of two, are cut from arenas of 4 MiB, and go back to a list of their size. Nothing is ever
 * given back to the host: there is as much as was in use at once.
 */
import { assert } from '../../base/assert.ts'
import { KiB, MiB } from '../../base/units.ts'

/** As far as it is used here; the types of Node leave it to those of browsers. */
declare const WebAssembly: {
  readonly Memory: new (pages: {
    readonly initial: number
    readonly maximum: number
  }) => { readonly buffer: ArrayBuffer }
}

/** Of memory, bytes. No device asks for more. */
export const ALIGNMENT = 4 * KiB
/** Largest buffer. */
export const MAX_ALIGNED = 1 * MiB

const ARENA_BYTES = 4 * MiB
const WASM_PAGE = 64 * KiB

const free = new Map<number, Buffer[]>()
/** Memories in which a view's offset tells its alignment. */
const arenas = new WeakSet<ArrayBufferLike>()

/** A buffer of `bytes` or a little more, with anything in it. */
export function takeAligned(bytes: number): Buffer {
  assert(bytes > 0 && bytes <= MAX_ALIGNED, `an aligned buffer of ${bytes} bytes`)
  const size = sizeClass(bytes)
  const list = listOf(size)
  if (list.length === 0) cut(size, list)
  return list.pop() as Buffer
}

/** It is not used any more. */
export function giveAligned(buffer: Buffer): void {
  assert(isAligned(buffer) && sizeClass(buffer.length) === buffer.length, 'this is no aligned buffer')
  listOf(buffer.length).push(buffer)
}

/** Whether a device may be given this memory as it is. */
export function isAligned({ buffer, byteOffset }: Uint8Array): boolean {
  return byteOffset % ALIGNMENT === 0 && arenas.has(buffer)
}

function sizeClass(bytes: number): number {
  let size = ALIGNMENT
  while (size < bytes) size *= 2
  return size
}

function listOf(size: number): Buffer[] {
  let list = free.get(size)
  if (!list) free.set(size, (list = []))
  return list
}

/** Small ones share an arena with others of their size. */
function cut(size: number, list: Buffer[]): void {
  const pages = ARENA_BYTES / WASM_PAGE
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
  arenas.add(buffer)
  for (let at = 0; at < ARENA_BYTES; at += size) list.push(Buffer.from(buffer, at, size))
}
