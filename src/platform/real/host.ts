/** This machine, as LUN drivers are given it. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { MatrixError } from '../../base/errors.ts'
import type { Host } from '../host.ts'
import { realClock } from './clock.ts'
import { realDialer } from './dialer.ts'
import { realFiles } from './files.ts'
import { realPrograms } from './programs.ts'

export const realHost: Host = {
  name: hostname(),
  clock: realClock,
  files: realFiles,
  dialer: realDialer,
  programs: realPrograms,
  async secret(path) {
    try {
      const mode = process.platform === 'win32' ? 0 : (await stat(path)).mode & 0o777
      if ((mode & 0o077) === 0) return ((await readFile(path, 'utf8')).split('\n', 1)[0] as string).trim()
      const found = mode.toString(8).padStart(3, '0')
      throw new MatrixError('config', `${path} has mode ${found}; allowed is 600 or 400 (chmod 600 ${path})`)
    } catch (error) {
      if (error instanceof MatrixError) throw error
      const why = (error as NodeJS.ErrnoException).code ?? String(error)
      throw new MatrixError('config', `cannot read the secret in ${path}: ${why}`, { cause: error })
    }
  },
  random: randomBytes,
}

/** A setting of the kernel (Linux), such as `net/ipv6/conf/eth0/accept_dad`; undefined when there is none. */
export function sysctl(name: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${name}`, 'utf8').trim()
  } catch {
    return undefined
  }
}
