/** Block devices to test with: sparse files behind loop devices of Linux, with sectors as wanted. Needs root and losetup. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type LoopDevice = {
  readonly path: string
  /** Makes it as large as this, bytes. */
  resize(size: number): void
  remove(): void
  /** Another device of the same file. */
  again(): Pick<LoopDevice, 'path' | 'remove'>
}

/** Undefined, with a word on standard error, where none can be made. */
export function makeLoopDevice(size: number, sectorSize: 512 | 4096): LoopDevice | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'matrixfs-loop-'))
  const file = join(folder, 'lun.img')
  writeFileSync(file, '')
  truncateSync(file, size)
  try {
    const options = ['--find', '--show', '--direct-io=on', `--sector-size=${sectorSize}`, file]
    const path = execFileSync('losetup', options, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
    return {
      path,
      resize(bytes) {
        truncateSync(file, bytes)
        execFileSync('losetup', ['--set-capacity', path])
      },
      again() {
        const twin = execFileSync('losetup', options, { encoding: 'utf8' }).trim()
        return { path: twin, remove: () => void execFileSync('losetup', ['--detach', twin]) }
      },
      remove() {
        execFileSync('losetup', ['--detach', path])
        rmSync(folder, { recursive: true })
      },
    }
  } catch (error) {
    rmSync(folder, { recursive: true })
    const { stderr, message } = error as { readonly stderr?: string; readonly message: string }
    console.error(
      `SKIPPED: no loop device can be made here, which needs root and losetup: ${stderr?.trim() || message}`,
    )
    return undefined
  }
}
