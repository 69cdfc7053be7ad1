/** Programs of the host that end-to-end tests use as clients: found, or a clear word on how to get them. */
import { spawnSync } from 'node:child_process'

/** A program, and the Debian package that brings it where that has another name. */
export type NeededProgram = string | { readonly program: string; readonly debianPackage: string }

/** Ordinary programs that e2e:workout runs on mounts. */
export const workoutPrograms: readonly NeededProgram[] = 'tar git fio stress-ng rsync python3 sqlite3'.split(' ')

/** Clients through which e2e:tree copies. */
export const treePrograms: readonly NeededProgram[] = [
  'rclone',
  { program: 'nfs-cp', debianPackage: 'libnfs-utils' },
  { program: 'nfs-cat', debianPackage: 'libnfs-utils' },
]

/** What to install, unless all are there. */
export function lackingPrograms(programs: readonly NeededProgram[]): string | undefined {
  const lacking = programs
    .map((each) => (typeof each === 'string' ? { program: each, debianPackage: each } : each))
    .filter(({ program }) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
  if (lacking.length === 0) return undefined
  const packages = new Set(lacking.map(({ debianPackage }) => debianPackage))
  return `missing: ${lacking.map(({ program }) => program).join(', ')}; apt-get install ${[...packages].join(' ')}`
}

/** Throws unless all of them are installed. */
export function needPrograms(programs: readonly NeededProgram[]): void {
  const lacking = lackingPrograms(programs)
  if (lacking !== undefined) throw new Error(lacking)
}
