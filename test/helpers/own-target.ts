/** The target of this project for tests: in this process, on loopback ports, with its files in a folder of its own. */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RandomAccessFile } from '../../src/platform/files.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import { realListener } from '../../src/platform/real/byte-listener.ts'
import { realHost } from '../../src/platform/real/host.ts'
import { IscsiTarget, type LunOptions, STORE_BYTES, type TargetChap } from '../../src/san/index.ts'

export type OwnTargetOptions = {
  readonly portals?: number
  readonly luns?: readonly Partial<LunOptions>[]
  readonly lunBytes?: number
  readonly chap?: TargetChap
  readonly log?: Log
  /** Between the target and each of its files. */
  readonly wrapFile?: (file: RandomAccessFile, path: string) => RandomAccessFile
}

export class OwnTarget {
  static readonly iqn = 'iqn.2026-11.net.matrixfs.test:own'
  readonly dir = mkdtempSync(join(tmpdir(), 'matrixfs-own-target-'))
  readonly #options: OwnTargetOptions
  #target: IscsiTarget | undefined
  #ports: readonly number[]

  constructor(options: OwnTargetOptions = {}) {
    this.#options = options
    this.#ports = Array.from({ length: options.portals ?? 1 }, () => 0)
  }

  get target(): IscsiTarget {
    if (!this.#target) throw new Error('the target does not run')
    return this.#target
  }

  /** `portal`: from 1. */
  url(lun: number, options = '', portal = 1): string {
    return `iscsi://127.0.0.1:${this.#ports[portal - 1]}/${OwnTarget.iqn}/${lun}${options}`
  }

  image(lun: number): string {
    return join(this.dir, `lun${lun}.img`)
  }

  /** Again, after `stop`, on the same ports and with what the LUNs hold. */
  async start(): Promise<void> {
    const { luns = [{}], lunBytes = 64 * 2 ** 20, chap, log = silentLog, wrapFile = (file) => file } = this.#options
    const all = luns.map((lun, i): LunOptions => {
      const number = lun.number ?? i + 1
      return {
        ...{ number, blockSize: 512, cache: 'host', sync: false, isReadOnly: false, serial: `OWN${number}` },
        path: sized(this.image(number), lunBytes),
        reservationsPath: sized(`${this.image(number)}.reservations`, STORE_BYTES),
        ...lun,
      }
    })
    const { clock, files, random } = realHost
    const open = async (path: string): Promise<RandomAccessFile> => wrapFile(await files.open(path), path)
    this.#target = await IscsiTarget.start(
      {
        name: OwnTarget.iqn,
        portals: this.#ports.map((port) => ({ host: '127.0.0.1', port })),
        luns: all,
        ...(chap && { chap }),
      },
      { clock, random, log, listener: realListener, files: { open } },
    )
    this.#ports = this.#target.portals.map(({ port }) => port)
  }

  async stop(): Promise<void> {
    await this.#target?.stop()
    this.#target = undefined
  }

  async dispose(): Promise<void> {
    await this.stop()
    rmSync(this.dir, { recursive: true, force: true })
  }
}

function sized(path: string, bytes: number): string {
  const fd = openSync(path, 'a+')
  ftruncateSync(fd, bytes)
  closeSync(fd)
  return path
}
