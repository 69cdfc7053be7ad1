/** A procedure of an RPC program: its number, arguments and result. Programs are tables of them. */
import type { Xdr } from './types.ts'

export type Procedure<A, R> = { readonly number: number; readonly args: Xdr<A>; readonly result: Xdr<R> }

export function procedure<A, R>(number: number, args: Xdr<A>, result: Xdr<R>): Procedure<A, R> {
  return { number, args, result }
}

/** By name. */
export type ProcedureTable = { readonly [name: string]: Procedure<never, never> }

export type ArgsOfProcedure<P> = P extends { readonly args: Xdr<infer A> } ? A : never
export type ResultOfProcedure<P> = P extends { readonly result: Xdr<infer R> } ? R : never
