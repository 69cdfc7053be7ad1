/** From what a request says of its user to the caller that the filesystem checks, by the export's squash rule. */
import { unreachable } from '../base/assert.ts'
import type { Caller } from '../metadata/index.ts'
import type { Export } from './exports.ts'

/** Who the client says is asking; AUTH_SYS believes it (RFC 5531 appendix A), the export says how far. */
export type Credentials =
  | { readonly flavor: 'none' }
  | { readonly flavor: 'sys'; readonly uid: number; readonly gid: number; readonly gids: readonly number[] }

export const noCredentials: Credentials = { flavor: 'none' }

/** `gids`: the user's groups beside the one of the request. */
export function callerOf(
  exported: Export,
  credentials: Credentials,
  gids: readonly number[] = credentials.flavor === 'none' ? [] : credentials.gids,
): Caller {
  const { squash, anonUid, anonGid } = exported
  if (credentials.flavor === 'none') return { uid: anonUid, gid: anonGid, gids: [] }
  const { uid, gid } = credentials
  switch (squash) {
    case 'all_squash':
      return { uid: anonUid, gid: anonGid, gids: [] }
    case 'no_root_squash':
      return { uid, gid, gids }
    case 'root_squash': {
      const group = (id: number) => (id === 0 ? anonGid : id)
      return { uid: uid === 0 ? anonUid : uid, gid: group(gid), gids: gids.map(group) }
    }
    default:
      return unreachable(squash)
  }
}
