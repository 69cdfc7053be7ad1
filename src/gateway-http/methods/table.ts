/** All methods, with what the gateway must know before it calls one. */
import type { Call, ExportCall } from '../call.ts'
import { copy, move } from './copy-move.ts'
import { remove } from './delete.ts'
import { get } from './get.ts'
import { getRoot } from './get-directory.ts'
import { lock } from './lock.ts'
import { mkcol } from './mkcol.ts'
import { options } from './options.ts'
import { propfind, propfindRoot } from './propfind.ts'
import { proppatch } from './proppatch.ts'
import { put } from './put.ts'
import { createUpload, headUpload, patchUpload, removeUpload, uploadId } from './tus.ts'
import { unlock } from './unlock.ts'

export type Method = {
  /** In an export. */
  readonly serve: (call: ExportCall) => void | Promise<void>
  /** At the gateway's root, above the exports; undefined: 403. */
  readonly serveRoot?: (call: Call) => void | Promise<void>
  /** Refused on a read-only export. */
  readonly changes: boolean
}

const serveOptions = (call: Call) => options(call, ALLOWED)

export const methods: Readonly<Record<string, Method>> = {
  OPTIONS: { serve: serveOptions, serveRoot: serveOptions, changes: false },
  GET: { serve: get, serveRoot: getRoot, changes: false },
  HEAD: { serve: (call) => (uploadId(call) ? headUpload(call) : get(call)), serveRoot: getRoot, changes: false },
  PUT: { serve: put, changes: true },
  POST: { serve: createUpload, changes: true },
  PATCH: { serve: patchUpload, changes: true },
  DELETE: { serve: (call) => (uploadId(call) ? removeUpload(call) : remove(call)), changes: true },
  MKCOL: { serve: mkcol, changes: true },
  COPY: { serve: copy, changes: true },
  MOVE: { serve: move, changes: true },
  PROPFIND: { serve: propfind, serveRoot: propfindRoot, changes: false },
  PROPPATCH: { serve: proppatch, changes: true },
  LOCK: { serve: lock, changes: true },
  UNLOCK: { serve: unlock, changes: true },
}

/** The Allow header. */
export const ALLOWED = Object.keys(methods).join(', ')
