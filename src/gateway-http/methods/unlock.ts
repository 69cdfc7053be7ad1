/** UNLOCK (RFC 4918 9.11): of the whole lock, through any resource that it covers. */
import { answer, durable, type ExportCall, header } from '../call.ts'
import { HttpFailure } from '../failure.ts'
import { find, retryStale } from '../resolve.ts'

export async function unlock(call: ExportCall): Promise<void> {
  const [, token] = /^\s*<([^<>\s]+)>\s*$/.exec(header(call, 'lock-token') ?? '') ?? []
  if (token === undefined) throw new HttpFailure(400, 'a Lock-Token header with one <token> was expected')
  const { fs, caller } = call
  const found = await retryStale(async () => fs.dav.unlock(caller, await find(fs, caller, call.path), token))
  if (!found)
    throw new HttpFailure(409, 'no such lock covers the resource', { condition: 'lock-token-matches-request-uri' })
  await durable(fs)
  answer(call, 204)
}
