/** In whose name a verb runs. */

/** Locks of WebDAV bind this caller, except those whose tokens it has submitted, as far as they are its own. */
export type DavGuard = { readonly tokens: readonly string[]; readonly principal: string }

/** Who asks. uid 0 passes every permission check (except execute of a file without any x bit). */
export type Caller = {
  readonly uid: number
  readonly gid: number
  readonly gids: readonly number[]
  /** WebDAV locks bind this caller; without it they do not. */
  readonly guard?: DavGuard
}
