/** MKCOL (RFC 4918 9.3). */
import { isFsError } from '../../base/errors.ts'
import { answer, durable, type ExportCall } from '../call.ts'
import { evaluate } from '../conditions.ts'
import { HttpFailure } from '../failure.ts'
import { directoryMode } from '../http-export.ts'
import { hasBody } from '../request-body.ts'
import { walk } from '../resolve.ts'

export async function mkcol(call: ExportCall): Promise<void> {
  // 9.3: a body would say what the collection should hold; we know of no such type.
  if (hasBody(call.req)) throw new HttpFailure(415)
  const { fs, caller, path, share } = call
  const place = await walk(fs, caller, path, { last: 'keep', missingParent: 409 })
  if (place.inode) throw new HttpFailure(405, 'it exists already')
  evaluate(call.req.headers, undefined, false)
  try {
    await fs.mkdir(caller, place.dir, place.name, { mode: directoryMode(share) })
  } catch (error) {
    // Removed between the walk and now.
    throw isFsError(error, 'ESTALE', 'ENOENT') ? new HttpFailure(409) : error
  }
  await durable(fs)
  answer(call, 201)
}
