/**
 * OPTIONS: what this server can do (RFC 4918 10.1): classes 1 and 2, and 3, the RFC's own; and the property `executable` in Apache's way, which
 * clients look for by its URI.
 */
import { answer, type Call } from '../call.ts'
import { tusHeaders } from './tus.ts'

export function options(call: Call, allowed: string): void {
  call.ctx.set('DAV', ['1, 2, 3', '<http://apache.org/dav/propset/fs/1>'])
  answer(call, 200, { ...tusHeaders, Allow: allowed, 'MS-Author-Via': 'DAV', 'Accept-Ranges': 'bytes' })
}
