/** What can be known in the turn of the event loop that asks for it. */
import { type Ino, ROOT_INO } from '../../base/ids.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import type { HttpExport } from '../http-export.ts'
import { parseTarget } from '../paths.ts'
import { isTemporaryName } from '../temporaries.ts'

/** Thrown when something is not known yet, or is for the usual way to say. */
const LATER = Symbol('later')

/** Throws LATER unless it is there. */
export function now<T>(answer: MaybePromise<T>): T {
  if (!isPromise(answer)) return answer
  answer.catch(() => undefined) // whoever goes the usual way meets it again
  throw LATER
}

/** Where a file is, or would be. */
export type PlaceAtHand = { readonly share: HttpExport; readonly dir: Ino; readonly name: string }

/** Throws LATER, or what is wrong with the path. */
export function placeAtHand(target: string, exports: readonly HttpExport[]): PlaceAtHand {
  const { segments, trailingSlash } = parseTarget(target)
  const share = exports.find(({ name }) => name === segments[0])
  if (!share || segments.length < 2 || trailingSlash) throw LATER
  for (const name of segments) if (isTemporaryName(name)) throw LATER
  let dir: Ino = ROOT_INO
  for (let i = 1; i < segments.length - 1; i++)
    dir = now(share.fs.lookup(share.caller, dir, segments[i] as string)).inode.ino
  return { share, dir, name: segments.at(-1) as string }
}
