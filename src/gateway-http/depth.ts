/** The Depth header (RFC 4918 10.2). */
import { type Call, header } from './call.ts'
import { HttpFailure } from './failure.ts'

export type Depth = '0' | '1' | 'infinity'

export function depthOf(call: Call, otherwise: Depth): Depth {
  const value = header(call, 'depth')?.trim().toLowerCase()
  if (value === undefined) return otherwise
  if (value === '0' || value === '1' || value === 'infinity') return value
  throw new HttpFailure(400, 'Depth must be 0, 1 or infinity')
}
