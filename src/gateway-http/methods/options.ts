/** OPTIONS: what this server can do (RFC 4918 10.1: class 1; locks come with class 2). */
import { answer, type Call } from '../call.ts'

export function options(call: Call, allowed: string): void {
  answer(call, 200, { DAV: '1', Allow: allowed, 'MS-Author-Via': 'DAV', 'Accept-Ranges': 'bytes' })
}
