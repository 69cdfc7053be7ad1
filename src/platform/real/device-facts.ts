/**
 * What Linux tells of a block device without an ioctl: a folder per device in /sys, mounts and swap areas in /proc. Other systems tell none of
 * it without native code; there a node reaches LUNs by iSCSI.
 *
 *     /sys/dev/block/8:17 → …/block/sdb/sdb1    size (in 512 bytes), ro, partition, holders/
 *     /sys/dev/block/8:16 → …/block/sdb         queue/logical_block_size, device/wwid, loop/backing_file, dm/uuid, sdb1/ …
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

export type DeviceFacts = {
  readonly size: number
  readonly sectorSize: number
  readonly readOnly: boolean
  /** See `BlockDevice.identity`. */
  readonly identity: string
}

/** Roots of what is read: tests have their own. */
export type SystemFolders = { readonly sys: string; readonly proc: string }
export const systemFolders: SystemFolders = { sys: '/sys', proc: '/proc' }

/** `rdev`: as stat gives it. Undefined when the system does not tell of that device (any more). */
export function readDeviceFacts(rdev: number, { sys }: SystemFolders = systemFolders): DeviceFacts | undefined {
  try {
    const own = realpathSync(join(sys, 'dev/block', numbersOf(rdev)))
    const disk = existsSync(join(own, 'partition')) ? dirname(own) : own
    const size = Number(readFileSync(join(own, 'size'), 'utf8')) * 512
    const sectorSize = Number(readFileSync(join(disk, 'queue/logical_block_size'), 'utf8'))
    if (!Number.isSafeInteger(size) || !(sectorSize > 0)) return undefined
    return { size, sectorSize, readOnly: lineOf(own, 'ro') === '1', identity: identityOf(own, disk) }
  } catch {
    return undefined
  }
}

/** The name that the device gives itself, and which of its partitions this is. */
function identityOf(own: string, disk: string): string {
  const places = ['dm/uuid', 'wwid', 'device/wwid', 'serial', 'device/serial', 'loop/backing_file']
  const name = places.map((place) => lineOf(disk, place)).find((line) => line !== '') ?? ''
  const partition = lineOf(own, 'partition')
  return name !== '' && partition !== '' ? `${name} partition ${partition}` : name
}

/** What uses the device or a partition of it, in words. */
export function usersOf(rdev: number, { sys, proc }: SystemFolders = systemFolders): readonly string[] {
  try {
    const own = realpathSync(join(sys, 'dev/block', numbersOf(rdev)))
    const parts = readdirSync(own).filter((name) => existsSync(join(own, name, 'partition')))
    return [own, ...parts.map((name) => join(own, name))].flatMap((folder) => {
      const name = basename(folder)
      const numbers = lineOf(folder, 'dev')
      const which = folder === own ? '' : `its partition ${name} `
      return [
        ...mountsOf(numbers, proc).map((where) => `${which}is mounted on ${where}`),
        ...namesIn(join(folder, 'holders')).map((holder) => `${which}is part of ${holderName(sys, holder)}`),
        ...(swapsOf(proc).includes(name) ? [`${which}is a swap area`] : []),
      ]
    })
  } catch {
    return []
  }
}

/** /dev/dm-0 is better known by the name that it has in /dev/mapper. */
function holderName(sys: string, holder: string): string {
  const mapped = lineOf(join(sys, 'block', holder), 'dm/name')
  return mapped === '' ? `/dev/${holder}` : `/dev/mapper/${mapped}`
}

/** Of a partition or disk, from the mount table of this process. */
function mountsOf(numbers: string, proc: string): readonly string[] {
  return readFileSync(join(proc, 'self/mountinfo'), 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, , device, , where]) => (device === numbers && where !== undefined ? [where] : []))
}

function swapsOf(proc: string): readonly string[] {
  try {
    const [, ...lines] = readFileSync(join(proc, 'swaps'), 'utf8').split('\n')
    return lines.map((line) => basename(line.split(' ', 1)[0] as string))
  } catch {
    return []
  }
}

function namesIn(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

/** The first line of a file; empty when there is none. */
function lineOf(folder: string, name: string): string {
  try {
    return (readFileSync(join(folder, name), 'utf8').split('\n', 1)[0] as string).trim()
  } catch {
    return ''
  }
}

/** As Linux packs them for stat: 12 bits and more of the major number, 20 of the minor. */
function numbersOf(rdev: number): string {
  const packed = BigInt(rdev)
  const major = ((packed >> 8n) & 0xfffn) | ((packed >> 32n) & 0xfffff000n)
  const minor = (packed & 0xffn) | ((packed >> 12n) & 0xffffff00n)
  return `${major}:${minor}`
}
