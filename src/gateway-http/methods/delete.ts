/** DELETE (RFC 4918 9.6): a file, a link (not what it points to), or a whole tree. */
import { DIR } from '../../metadata/index.ts'
import { answer, durable, type ExportCall } from '../call.ts'
import { evaluate } from '../conditions.ts'
import { depthOf } from '../depth.ts'
import { etagOf } from '../etag.ts'
import { HttpFailure } from '../failure.ts'
import { find } from '../resolve.ts'
import { removeTree } from '../tree.ts'
import { answerFailures } from './failures.ts'

export async function remove(call: ExportCall): Promise<void> {
  const { fs, caller, path } = call
  const place = await find(fs, caller, path, 'keep')
  if (place.name === '') throw new HttpFailure(403, 'the root of an export stays')
  evaluate(call.req.headers, { etag: etagOf(place.inode), modifiedS: place.inode.mtimeS }, false)
  if (place.inode.type === DIR && depthOf(call, 'infinity') !== 'infinity') {
    throw new HttpFailure(400, 'a collection is deleted with Depth: infinity')
  }
  if (place.inode.type !== DIR && call.target.trailingSlash) throw new HttpFailure(404, 'a file, not a directory')
  await fs.dav.check(caller, place, 'tree')
  const failures = await removeTree(fs, caller, place.dir, place.name, place.inode)
  await durable(fs)
  if (failures.length > 0) return answerFailures(call, [call.share.name, ...path], failures)
  answer(call, 204)
}
