/**
 * Identifiers shared by all floors. All are plain numbers below 2^53 at run time; the brands exist for the compiler.
 * A node is never compared without its incarnation where a restart in between would matter.
 */
import { MAX_SLOTS } from './limits.ts'

declare const brand: unique symbol
type Brand<Name extends string> = number & { readonly [brand]?: Name }

/** A node's numbered place in the matrix, 0 … MAX_SLOTS-1: names its journal, lease sector and inode range. */
export type Slot = Brand<'Slot'>
/** Counts the starts of a slot's process; it only grows and never repeats for one slot. */
export type Incarnation = Brand<'Incarnation'>
/** Number of an agreed membership view; it only grows. */
export type ViewId = Brand<'ViewId'>
/** Logical byte position in a slot's journal, a multiple of JOURNAL_ALIGN; never goes back, also not across incarnations. */
export type Lsn = Brand<'Lsn'>
/** Inode number. `ino % MAX_SLOTS` is the slot it was born in; numbers are never used again. */
export type Ino = Brand<'Ino'>
/** A 4 KiB block of a filesystem: LUN index (within the filesystem) × 2^36 + block number on that LUN. */
export type BlockAddress = Brand<'BlockAddress'>

/** Root directory of every filesystem. */
export const ROOT_INO: Ino = 1

/** The slot an inode was born in. Inodes below MAX_SLOTS (the root) belong to nobody: -1. */
export function bornSlot(ino: Ino): number {
  return ino < MAX_SLOTS ? -1 : ino % MAX_SLOTS
}

const BLOCKS_PER_LUN = 2 ** 36

export function blockAddress(lunIndex: number, block: number): BlockAddress {
  return lunIndex * BLOCKS_PER_LUN + block
}
export function lunIndexOf(address: BlockAddress): number {
  return Math.floor(address / BLOCKS_PER_LUN)
}
export function blockOf(address: BlockAddress): number {
  return address % BLOCKS_PER_LUN
}
