/**
 * What can be asked of a running target, as a line of JSON, and what it answers: `{"ok":true,…}` or `{"ok":false,"code":…,"message":…}`. The
 * table of requests is in docs/iscsi-target.md.
 */
import * as v from 'valibot'
import { isMatrixError } from '../../base/errors.ts'
import type { IscsiTarget } from './target.ts'

const count = (min: number, max: number) => v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max))
const initiator = v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(223), v.toLowerCase()))
const portal = v.optional(count(1, 64))
const ms = v.pipe(v.number(), v.minValue(0), v.maxValue(3_600_000))
const part = v.pipe(v.number(), v.minValue(0), v.maxValue(1))
const byte = count(0, 255)

const requests = v.variant('command', [
  v.strictObject({ command: v.literal('status') }),
  v.strictObject({
    command: v.literal('cut'),
    initiator,
    portal,
    mode: v.optional(v.picklist(['refuse', 'silent']), 'refuse'),
  }),
  v.strictObject({ command: v.literal('heal'), initiator, portal }),
  v.strictObject({
    command: v.literal('fault'),
    initiator,
    portal,
    lun: v.optional(count(0, 16_383)),
    operation: v.optional(v.picklist(['read', 'write', 'flush', 'reserve', 'other'])),
    count: v.optional(count(1, 1_000_000_000)),
    probability: v.optional(part),
    delayMs: v.optional(ms),
    jitterMs: v.optional(ms),
    sense: v.optional(v.strictObject({ key: count(0, 15), asc: byte, ascq: byte })),
    status: v.optional(byte),
    hang: v.optional(v.boolean()),
    drop: v.optional(v.boolean()),
    after: v.optional(v.boolean()),
  }),
  v.strictObject({ command: v.literal('clear-faults'), id: v.optional(count(1, Number.MAX_SAFE_INTEGER)) }),
  v.strictObject({
    command: v.literal('power-loss'),
    downMs: v.optional(ms, 0),
    survive: v.optional(part, 0),
  }),
  v.strictObject({ command: v.literal('resize'), lun: count(0, 16_383) }),
  v.strictObject({ command: v.literal('logout'), initiator, seconds: v.optional(count(0, 3600), 10) }),
])
export type TargetRequest = v.InferInput<typeof requests>

export type TargetAnswer =
  | ({ readonly ok: true } & Readonly<Record<string, unknown>>)
  | { readonly ok: false; readonly code: string; readonly message: string }

/** Never rejects for what is wrong with a request. */
export async function answerRequest(target: IscsiTarget, line: string): Promise<TargetAnswer> {
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), requests), line)
  if (!parsed.success) {
    const [issue] = parsed.issues
    const where = v.getDotPath(issue)
    return { ok: false, code: 'protocol', message: `no request: ${where ? `${where}: ` : ''}${issue.message}` }
  }
  try {
    return { ok: true, ...(await carryOut(target, parsed.output)) }
  } catch (error) {
    if (!isMatrixError(error)) throw error
    return { ok: false, code: error.code, message: error.message }
  }
}

async function carryOut(target: IscsiTarget, request: v.InferOutput<typeof requests>): Promise<object> {
  switch (request.command) {
    case 'status':
      return target.status()
    case 'cut':
      await target.cut(without(request))
      return {}
    case 'heal':
      return { healed: target.heal(request) }
    case 'fault':
      return { id: target.addFault(without(request)) }
    case 'clear-faults':
      return { removed: target.removeFaults(request.id) }
    case 'power-loss':
      await target.powerLoss(request)
      return {}
    case 'resize':
      return target.resize(request.lun)
    case 'logout':
      await target.requestLogout(request)
      return {}
  }
}

function without<T extends { readonly command: string }>({ command: _, ...rest }: T): Omit<T, 'command'> {
  return rest
}
