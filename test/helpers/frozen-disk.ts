/**
 * A folder on a disk that can hang: writes to it get no answer while it is frozen, and land when it goes on (a loop device with a filesystem
 * that fsfreeze holds up). Linux, as root.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export class FrozenDisk {
  readonly #base = mkdtempSync(join(tmpdir(), 'matrixfs-frozen-'))
  readonly dir = join(this.#base, 'mnt')

  /** Throws when this machine cannot do it. */
  constructor(bytes: number) {
    try {
      const image = join(this.#base, 'disk.img')
      mkdirSync(this.dir)
      writeFileSync(image, '')
      truncateSync(image, bytes)
      run('mkfs.ext4', '-q', image)
      run('mount', '-o', 'loop', image, this.dir)
    } catch (error) {
      rmSync(this.#base, { recursive: true, force: true })
      throw error
    }
  }

  freeze(): void {
    run('fsfreeze', '-f', this.dir)
  }

  goOn(): void {
    run('fsfreeze', '-u', this.dir)
  }

  /** Nothing may have it open any more. */
  dispose(): void {
    run('umount', this.dir)
    rmSync(this.#base, { recursive: true, force: true })
  }
}

/** Why there is none here; undefined when there can be one. */
export function noFrozenDisk(): string | undefined {
  try {
    new FrozenDisk(8 * 2 ** 20).dispose()
    return undefined
  } catch (error) {
    const [line] = String(error instanceof Error ? error.message : error).split('\n')
    return `no disk that hangs can be made here (it takes root, loop devices and fsfreeze): ${line}`
  }
}

function run(program: string, ...args: string[]): void {
  const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env })
}
