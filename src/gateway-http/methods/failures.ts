/** The answer to a DELETE, COPY, MOVE or LOCK that did not succeed, or cannot, because of members of the resource. */
import type { LockedError } from '../../metadata/index.ts'
import type { Call } from '../call.ts'
import { hrefOf } from '../paths.ts'
import type { MemberFailure } from '../tree.ts'
import { failedResponse, multistatusEnd, multistatusStart, XML_TYPE } from '../xml/multistatus.ts'

/** A failure of the resource itself is the response's own status (RFC 4918 9.6.1); anything else is a 207 that names the members. */
export function answerFailures(call: Call, root: readonly string[], failures: readonly MemberFailure[]): void {
  const [only] = failures
  if (failures.length === 1 && only && only.path.length === 0) throw only.failure
  answerMultistatus(
    call,
    failures.map(({ path, failure }) => failedResponse(hrefOf([...root, ...path], false), failure.status, failure)),
  )
}

/** Nothing was done, because members are locked. Of a LOCK the resource itself is named as well (9.10.9). */
export function answerLockedBelow(call: Call, { locks, condition }: LockedError): void {
  const responses = locks.map(({ root }) => failedResponse(root, 423, { condition, hrefs: [root] }))
  if (condition === 'no-conflicting-lock') responses.push(failedResponse(hrefOf(call.target.segments, true), 424))
  answerMultistatus(call, responses)
}

function answerMultistatus(call: Call, responses: readonly string[]): void {
  call.ctx.status = 207
  call.ctx.set('Content-Type', XML_TYPE)
  call.ctx.body = multistatusStart + responses.join('') + multistatusEnd
}
