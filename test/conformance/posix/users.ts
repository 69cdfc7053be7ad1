/** Who acts in the cases. No such accounts need to exist: the kernel and filesystems go by numbers. */
export type User = {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

/** Groups that only some users are in by way of their supplementary groups. */
export const TEAM = 61_500
export const CLUB = 61_501

export const root: User = { name: 'root', uid: 0, gid: 0, groups: [] }
export const alice: User = { name: 'alice', uid: 61_001, gid: 61_001, groups: [TEAM] }
export const bob: User = { name: 'bob', uid: 61_002, gid: 61_002, groups: [TEAM, CLUB] }
/** In no group but her own. */
export const carol: User = { name: 'carol', uid: 61_003, gid: 61_003, groups: [] }
