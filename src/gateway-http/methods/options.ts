/** OPTIONS: what this server can do (RFC 4918 10.1): classes 1 and 2, and 3, the RFC's own. */
import { answer, type Call } from '../call.ts'

export function options(call: Call, allowed: string): void {
  answer(call, 200, { DAV: '1, 2, 3', Allow: allowed, 'MS-Author-Via': 'DAV', 'Accept-Ranges': 'bytes' })
}
