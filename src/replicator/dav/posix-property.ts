/**
 * What WebDAV has no place for, in a dead property of the copy: permission bits, owner, and the modification time with its fractions.
 *
 *     <posix xmlns="urn:matrixfs:replica">100640 1000 1000 1795823705947.123 1795823705</posix>
 *      type and mode (octal), uid, gid, modification time (ms), and the `getlastmodified` (s) that a server shows with it
 *
 * A copy that somebody has written since shows another `getlastmodified`: the time in the property is not its own any more.
 */
export type Posix = {
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeMs: number
  /** `getlastmodified` when it was written, seconds: that of then, or the one that went with it. */
  readonly shownS: number
}

export function formatPosix({ mode, uid, gid, mtimeMs, shownS }: Posix): string {
  return [mode.toString(8), uid, gid, mtimeMs, shownS].join(' ')
}

/** undefined for what is none. */
export function parsePosix(text: string): Posix | undefined {
  const [, mode, uid, gid, mtimeMs, shownS] = /^([0-7]{1,7}) (\d+) (\d+) (-?[\d.e+-]+) (-?\d+)$/.exec(text.trim()) ?? []
  if (mode === undefined || !Number.isFinite(Number(mtimeMs))) return undefined
  return {
    ...{ mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) },
    ...{ mtimeMs: Number(mtimeMs), shownS: Number(shownS) },
  }
}
