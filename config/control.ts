/**
 * How `matrix` speaks to the running `matrixd` of this machine: over a Unix socket in its state_dir, which only its owner may open.
 * A line of JSON is a request, a line of JSON its answer, in the order of the requests.
 *
 *     {"command":"mount","filesystem":"home","directory":"/home"}     {"ok":true,"directory":"/home"}
 *     {"command":"umount","directory":"/home","lazy":false}           {"ok":false,"code":"in-use","message":"…"}
 *     {"command":"counters"}                                          {"ok":true,"counters":{"filesystems":{"home":{…}},"luns":{…}}}
 *     {"command":"luns"}                                              {"ok":true,"luns":{"matrixUuid":"…","matrixName":"demo","luns":[…]}}
 *     {"command":"add-lun","lun":{…},"url":"file:/luns/lun3.img"}     {"ok":true}
 *     {"command":"remove-lun","uuid":"…"}                             {"ok":false,"code":"view-changed","message":"…"}     (ask again)
 *     {"command":"grow-filesystem","filesystem":"home","uuid":"…"}   {"ok":true,"bytes":107374182400}
 *     {"command":"restore-filesystem","filesystem":"home"}            {"ok":false,"code":"in-use","message":"…"}
 *     {"command":"drain-lun","uuid":"…"}                              {"ok":true,"left":4194304}     (goes on when asked again; without `left` it is done)
 *     {"command":"refill-lun","uuid":"…"}                             {"ok":true,"bytes":0}
 *     {"command":"grow-lun","uuid":"…"}                               {"ok":true,"bytes":1073741824}
 *     {"command":"look-at-luns"}                                      {"ok":true,"looks":[{"node":"n1","sights":[{"uuid":"…","path":"/luns/lun1.img","state":"up"}]}]}
 *     {"command":"fence-plan","node":"n2"}                            {"ok":true,"plan":{"slot":1,"incarnation":4,"agents":["scsi-pr"],"rehearsals":[]}}
 *     {"command":"fence-drill","node":"n2"}                           {"ok":true,"fenced":{"agent":"scsi-pr","ms":1830}}
 *     {"command":"mounts"}                                            {"ok":true,"mounts":[{"filesystem":"home","directory":"/home"}]}
 */
import { join } from 'node:path'
import * as v from 'valibot'
import { MAX_LUN_URL } from '../src/base/limits.ts'

export function controlSocket(stateDir: string): string {
  return join(stateDir, 'control.sock')
}

/** Longest line, bytes. */
export const CONTROL_LINE_MAX = 65_536

const lun = v.strictObject({ uuid: v.string(), name: v.string(), size: v.pipe(v.number(), v.safeInteger()) })
const directory = v.pipe(v.string(), v.minLength(1), v.maxLength(4096))

export const controlRequest = v.variant('command', [
  v.strictObject({ command: v.literal('mount'), filesystem: v.string(), directory }),
  v.strictObject({ command: v.literal('umount'), directory, lazy: v.boolean() }),
  v.strictObject({ command: v.literal('mounts') }),
  v.strictObject({ command: v.literal('counters') }),
  v.strictObject({ command: v.literal('luns') }),
  v.strictObject({ command: v.literal('look-at-luns') }),
  v.strictObject({ command: v.picklist(['fence-plan', 'fence-drill']), node: v.string() }),
  v.strictObject({
    command: v.literal('add-lun'),
    lun,
    url: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_LUN_URL)),
  }),
  v.strictObject({ command: v.literal('remove-lun'), uuid: v.string() }),
  v.strictObject({ command: v.literal('grow-filesystem'), filesystem: v.string(), uuid: v.string() }),
  v.strictObject({ command: v.literal('restore-filesystem'), filesystem: v.string() }),
  v.strictObject({ command: v.picklist(['drain-lun', 'refill-lun', 'grow-lun']), uuid: v.string() }),
])
export type ControlRequest = v.InferOutput<typeof controlRequest>

const sight = v.object({
  uuid: v.string(),
  path: v.optional(v.string()),
  size: v.optional(v.number()),
  state: v.string(),
  reason: v.optional(v.string()),
})
const mountEntry = v.object({ filesystem: v.string(), directory: v.string() })

export const controlAnswer = v.variant('ok', [
  v.object({
    ok: v.literal(true),
    directory: v.optional(v.string()),
    mounts: v.optional(v.array(mountEntry)),
    /** What has become free. */
    bytes: v.optional(v.number()),
    /** How each node sees the LUNs; or why it does not say. */
    looks: v.optional(v.array(v.object({ node: v.string(), sights: v.union([v.string(), v.array(sight)]) }))),
    /** How a member would be fenced. */
    plan: v.optional(
      v.object({
        slot: v.number(),
        incarnation: v.number(),
        agents: v.array(v.string()),
        rehearsals: v.array(v.object({ agent: v.string(), able: v.boolean(), said: v.string() })),
      }),
    ),
    /** How it was. */
    fenced: v.optional(v.object({ agent: v.string(), ms: v.number() })),
    /** Bytes on a LUN that is being drained. */
    left: v.optional(v.number()),
    /** Whatever this version counts, by part. */
    counters: v.optional(v.record(v.string(), v.unknown())),
    /** As the membership database has them. `pending`: the UUID of one that is being added or removed. */
    luns: v.optional(
      v.object({
        matrixUuid: v.string(),
        matrixName: v.string(),
        luns: v.array(lun),
        pending: v.optional(v.string()),
      }),
    ),
  }),
  /** `code`: that of a MatrixError. */
  v.object({ ok: v.literal(false), code: v.string(), message: v.string() }),
])
export type ControlAnswer = v.InferOutput<typeof controlAnswer>
