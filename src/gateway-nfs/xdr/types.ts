/**
 * XDR types as tables: each is an object that encodes and decodes, made from others by the functions below. Protocols are
 * declared with them once (v3/tables.ts, mount/tables.ts). MOUNT goes through them; the codecs of NFS are written by hand and held
 * against them by a test. Every variable length has a limit; 64-bit numbers are numbers (xdr/reader.ts says how).
 */
import { XdrError, type XdrReader } from './reader.ts'
import type { XdrWriter } from './writer.ts'

export interface Xdr<T> {
  encode(out: XdrWriter, value: T): void
  decode(from: XdrReader): T
}

/** The TypeScript type of the values of an XDR type. */
export type ValueOf<X> = X extends Xdr<infer T> ? T : never

export const nothing: Xdr<void> = { encode() {}, decode() {} }

export const uint32: Xdr<number> = {
  encode: (out, value) => out.uint32(value),
  decode: (from) => from.uint32(),
}

export const int32: Xdr<number> = {
  encode: (out, value) => out.int32(value),
  decode: (from) => from.int32(),
}

export const uint64: Xdr<number> = {
  encode: (out, value) => out.uint64(value),
  decode: (from) => from.uint64(),
}

/** For what has to go back exactly as it came, whatever it is. */
export const uint64Exact: Xdr<bigint> = {
  encode(out, value) {
    out.uint32(Number(value >> 32n))
    out.uint32(Number(value & 0xffffffffn))
  },
  decode: (from) => (BigInt(from.uint32()) << 32n) | BigInt(from.uint32()),
}

export const bool: Xdr<boolean> = {
  encode: (out, value) => out.bool(value),
  decode: (from) => from.bool(),
}

/** Exactly `length` bytes. */
export function fixed(length: number): Xdr<Buffer> {
  return {
    encode(out, value) {
      if (value.length !== length) throw new XdrError(`${value.length} bytes where there must be ${length}`)
      out.fixed(value)
    },
    decode: (from) => Buffer.from(from.fixed(length)),
  }
}

/** Up to `limit` bytes. */
export function opaque(limit: number): Xdr<Buffer> {
  return {
    encode: (out, value) => out.opaque(value),
    decode: (from) => Buffer.from(from.opaque(limit)),
  }
}

/** A byte string of up to `limit` bytes. */
export function string(limit: number): Xdr<string> {
  return {
    encode: (out, value) => out.string(value),
    decode: (from) => from.string(limit),
  }
}

/** Up to `limit` items with their count before them. */
export function array<T>(item: Xdr<T>, limit: number): Xdr<readonly T[]> {
  return {
    encode(out, value) {
      out.uint32(value.length)
      for (const each of value) item.encode(out, each)
    },
    decode: (from) => Array.from({ length: from.count(limit) }, () => item.decode(from)),
  }
}

/** Up to `limit` items, each with "one more follows" before it: how RFC 1813 sends directory entries. */
export function list<T>(item: Xdr<T>, limit: number): Xdr<readonly T[]> {
  return {
    encode(out, value) {
      for (const each of value) {
        out.bool(true)
        item.encode(out, each)
      }
      out.bool(false)
    },
    decode(from) {
      const items: T[] = []
      while (from.bool()) {
        if (items.length === limit) throw new XdrError(`a list has more than ${limit} items`)
        items.push(item.decode(from))
      }
      return items
    },
  }
}

/** A value or nothing, with a boolean before it. */
export function optional<T>(type: Xdr<T>): Xdr<T | undefined> {
  return {
    encode(out, value) {
      out.bool(value !== undefined)
      if (value !== undefined) type.encode(out, value)
    },
    decode: (from) => (from.bool() ? type.decode(from) : undefined),
  }
}

type Fields = { readonly [name: string]: Xdr<unknown> }

/** Named fields one after another, in the order of the table. */
export function struct<F extends Fields>(fields: F): Xdr<{ readonly [K in keyof F]: ValueOf<F[K]> }> {
  type Value = { readonly [K in keyof F]: ValueOf<F[K]> }
  const entries = Object.entries(fields)
  return {
    encode(out, value) {
      for (const [name, type] of entries) type.encode(out, value[name])
    },
    decode(from) {
      const value: Record<string, unknown> = {}
      for (const [name, type] of entries) value[name] = type.decode(from)
      return value as Value
    },
  }
}

type Arms = { readonly [kind: number]: Xdr<unknown> }
type UnionOf<A extends Arms> = {
  [K in keyof A & number]: { readonly kind: K; readonly value: ValueOf<A[K]> }
}[keyof A & number]

/** One of several types, told apart by a number before it; any other number is bad input. */
export function union<A extends Arms>(arms: A): Xdr<UnionOf<A>> {
  const armOf = (kind: number): Xdr<unknown> => {
    const arm = Object.hasOwn(arms, kind) ? arms[kind] : undefined
    if (!arm) throw new XdrError(`a union has no arm ${kind}`)
    return arm
  }
  return {
    encode(out, { kind, value }) {
      out.uint32(kind)
      armOf(kind).encode(out, value)
    },
    decode(from) {
      const kind = from.uint32()
      return { kind, value: armOf(kind).decode(from) } as UnionOf<A>
    },
  }
}

export type Outcome<T, F> =
  | { readonly status: 0; readonly ok: T }
  | { readonly status: number; readonly ok?: undefined; readonly failed: F }

/** A result in the manner of RFC 1813: a status, then one thing on success (0) and another on any failure. */
export function outcome<T, F>(ok: Xdr<T>, failed: Xdr<F>): Xdr<Outcome<T, F>> {
  return {
    encode(out, value) {
      out.uint32(value.status)
      if ('failed' in value) failed.encode(out, value.failed)
      else ok.encode(out, value.ok)
    },
    decode(from) {
      const status = from.uint32()
      return status === 0 ? { status, ok: ok.decode(from) } : { status, failed: failed.decode(from) }
    },
  }
}
