/**
 * What an operation is: one object per procedure, in a file of its own, listed in operations.ts. The order of a request is decode →
 * run → encode; program.ts drives it, chooses the status of failures and decides when the reply leaves.
 *
 * Rules that the operations keep:
 *  1. `decode` takes everything out of the record but `WRITE`'s data, which `run` hands to the filesystem before it returns.
 *  2. `encode` runs in the turn in which the verb answered, never later: inodes and cached data may change afterwards.
 *  3. Attributes are in every reply where RFC 1813 has room for them, on failures too.
 */
import type { MaybePromise } from '../../base/maybe-promise.ts'
import type { Export, Handle } from '../../export/index.ts'
import type { Caller, Inode, MatrixFs } from '../../metadata/index.ts'
import type { XdrReader } from '../xdr/reader.ts'
import type { XdrWriter } from '../xdr/writer.ts'
import { NFS3ERR_STALE } from './constants.ts'
import { Nfs3Failure } from './status.ts'
import type { ProcedureName } from './tables.ts'

/** The objects that a request is about; undefined where the handle was none of ours. */
export type Targets = {
  readonly object: Handle | undefined
  /** RENAME's target directory and LINK's directory; absent in other operations. */
  readonly other?: Handle | undefined
}

/** A request whose handles are good. */
export type Call = {
  readonly exported: Export
  readonly fs: MatrixFs
  readonly caller: Caller
  /** Inodes of the two targets; `other` is 0 when there is none. */
  readonly ino: number
  readonly other: number
  /** Most bytes of data in one reply: datagrams are short. */
  readonly transferMax: number
}

export interface Operation<A extends Targets, R> {
  readonly name: ProcedureName
  /**
   * 'read': changes nothing. 'data': changes content, and the verb itself waits where it must. 'change': changes metadata; the
   * reply waits until that is durable, and is remembered against being asked again.
   */
  readonly effect: 'read' | 'data' | 'change'
  /** What a failure's reply carries: post_op_attr or wcc_data of the first target, then of the second. */
  readonly failure: readonly ('after' | 'change')[]
  decode(from: XdrReader): A
  run(call: Call, args: A): MaybePromise<R>
  /** Bytes the result may take at most, when that can be more than a small reply. */
  resultBytes?(result: R, args: A): number
  /** The same before there is a result, about. */
  expectedBytes?(args: A): number
  /** The result after its status word, which is OK. */
  encode(out: XdrWriter, call: Call, result: R, args: A): void
}

/** Of an operation of any types: what the table holds. */
export type AnyOperation = Operation<Targets, unknown>

/** Inode numbers are never used again; should a generation differ all the same, the handle is stale. */
export function checkGeneration(inode: Inode, handle: Handle | undefined): void {
  if (inode.generation !== handle?.generation) throw new Nfs3Failure(NFS3ERR_STALE)
}
