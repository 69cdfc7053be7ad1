/** The answer to a DELETE, COPY or MOVE that did not succeed on every member. */
import type { Call } from '../call.ts'
import { hrefOf } from '../paths.ts'
import type { MemberFailure } from '../tree.ts'
import { failedResponse, multistatusEnd, multistatusStart, XML_TYPE } from '../xml/multistatus.ts'

/** A failure of the resource itself is the response's own status (RFC 4918 9.6.1); anything else is a 207 that names the members. */
export function answerFailures(call: Call, root: readonly string[], failures: readonly MemberFailure[]): void {
  const [only] = failures
  if (failures.length === 1 && only && only.path.length === 0) throw only.failure
  const responses = failures.map(({ path, failure }) =>
    failedResponse(hrefOf([...root, ...path], false), failure.status, failure.message),
  )
  call.ctx.status = 207
  call.ctx.set('Content-Type', XML_TYPE)
  call.ctx.body = multistatusStart + responses.join('') + multistatusEnd
}
