/**
 * A plain PUT of a small body: what methods/put.ts does, and says, when nothing is out of the ordinary. What it leaves out is looked at before the body is read there; here the body
 * is there already, and the transaction looks at all of it anyway.
 *
 * It declines what is not an ordinary name in a directory at hand. When it has begun and fails, whatever the failure, nothing has been stored, or stored but not answered
 * (durable or not); either way the same PUT may be made once more, and the usual way makes it and says what is wrong.
 */
import { InvariantError } from '../../base/assert.ts'
import { FsError } from '../../base/errors.ts'
import { MAX_STORED_BYTES, REG } from '../../metadata/index.ts'
import { durable } from '../call.ts'
import { validatorsOfFile } from '../file-headers.ts'
import { fileMode, type HttpExport } from '../http-export.ts'
import type { Answer } from './answer.ts'
import { type PlaceAtHand, placeAtHand } from './at-hand.ts'
import type { PlainPut } from './plain-request.ts'

const CREATED = [Buffer.from('Created\n')]
/** A client that submits no tokens of locks, and is nobody in particular. */
const guard = { tokens: [], principal: '' }

/** `exports`: those that anybody may change. The promise rejects with InvariantError only, and gives undefined for what the usual way has to do. */
export function quickPut(
  { target, body }: PlainPut,
  exports: readonly HttpExport[],
): Promise<Answer | undefined> | undefined {
  if (body.length > MAX_STORED_BYTES) return undefined
  try {
    return store(placeAtHand(target, exports), body)
  } catch (error) {
    if (error instanceof InvariantError) throw error
    return undefined
  }
}

async function store({ share, dir, name }: PlaceAtHand, body: Buffer): Promise<Answer | undefined> {
  const { fs, caller } = share
  try {
    const { inode, created } = await fs.store({ ...caller, guard }, dir, name, body, {
      mode: fileMode(share),
      expect: (current) => {
        if (current && current.type !== REG) throw new FsError('EINVAL', 'not a regular file')
      },
    })
    const validators = validatorsOfFile(inode)
    await durable(fs)
    if (!created) return { status: 204, headers: validators, body: [] }
    const headers = { ...validators, 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': '8' }
    return { status: 201, headers, body: CREATED }
  } catch (error) {
    if (error instanceof InvariantError) throw error
    return undefined
  }
}
