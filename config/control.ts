/**
 * How `matrix` speaks to the running `matrixd` of this machine: over a Unix socket in its state_dir, which only its owner may open.
 * A line of JSON is a request, a line of JSON its answer, in the order of the requests.
 *
 *     {"command":"mount","filesystem":"home","directory":"/home"}     {"ok":true,"directory":"/home"}
 *     {"command":"umount","directory":"/home","lazy":false}           {"ok":false,"code":"in-use","message":"…"}
 *     {"command":"counters"}                                          {"ok":true,"counters":{"filesystems":{"home":{…}},"luns":{…}}}
 *     {"command":"mounts"}                                            {"ok":true,"mounts":[{"filesystem":"home","directory":"/home"}]}
 */
import { join } from 'node:path'
import * as v from 'valibot'

export function controlSocket(stateDir: string): string {
  return join(stateDir, 'control.sock')
}

/** Longest line, bytes. */
export const CONTROL_LINE_MAX = 65_536

const directory = v.pipe(v.string(), v.minLength(1), v.maxLength(4096))

export const controlRequest = v.variant('command', [
  v.strictObject({ command: v.literal('mount'), filesystem: v.string(), directory }),
  v.strictObject({ command: v.literal('umount'), directory, lazy: v.boolean() }),
  v.strictObject({ command: v.literal('mounts') }),
  v.strictObject({ command: v.literal('counters') }),
])
export type ControlRequest = v.InferOutput<typeof controlRequest>

const mountEntry = v.object({ filesystem: v.string(), directory: v.string() })

export const controlAnswer = v.variant('ok', [
  v.object({
    ok: v.literal(true),
    directory: v.optional(v.string()),
    mounts: v.optional(v.array(mountEntry)),
    /** Whatever this version counts, by part. */
    counters: v.optional(v.record(v.string(), v.unknown())),
  }),
  /** `code`: that of a MatrixError. */
  v.object({ ok: v.literal(false), code: v.string(), message: v.string() }),
])
export type ControlAnswer = v.InferOutput<typeof controlAnswer>
