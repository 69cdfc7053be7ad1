/** What a logical unit is, asked of itself, and whether a matrix can use it. */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import {
  type BlockLimits,
  describeDeviceType,
  type Provisioning,
  parseBlockLimits,
  parseCacheMode,
  parseCapacity,
  parseDeviceName,
  parseInquiry,
  parseLuns,
  parseProvisioning,
  parseSerialNumber,
  parseSupportedPages,
} from './answers.ts'
import {
  inquiry,
  modeSenseCaching,
  readCapacity,
  reportLuns,
  type ScsiCommand,
  synchronizeCache,
  testUnitReady,
} from './command.ts'
import { senseOf } from './run-command.ts'
import { senseKey } from './sense.ts'

/** Of one WRITE SAME where the device names no limit: 32 MiB. */
const MAX_SAME_BLOCKS = 65_536
const INVALID_OPERATION_CODE = 0x20

/** How writes get to the medium. */
export type CacheFacts = {
  /** Writes are sent with FUA. Otherwise the device has no cache that forgets. */
  readonly fua: boolean
  /** It knows SYNCHRONIZE CACHE. */
  readonly canSynchronize: boolean
}

/** `most`: blocks of one command. */
export type DiscardFacts = { readonly by: 'unmap' | 'write-same'; readonly most: number }

export type Device = {
  /** What it is, by its name that is unique in the world (VPD 83h) and its serial number (80h), as far as it has them. */
  readonly name: string
  readonly blocks: number
  /** Most blocks of one transfer. */
  readonly maxTransfer: number
  /** Most blocks of one COMPARE AND WRITE; 0: it has none. */
  readonly maxCompare: number
  /** How it takes space back; undefined when it does not. */
  readonly discard: DiscardFacts | undefined
  /** Undefined while others have reserved it: then it does not tell (SPC-4, 5.13.1). Nothing can be written then, either. */
  readonly cache: CacheFacts | undefined
}

/** Runs a command to its end, gives the bytes that were transferred; rejects with MatrixError 'lun-io'. */
type Run = (command: ScsiCommand) => Promise<number>

/** Rejects with MatrixError 'not-found' (no such logical unit), 'config' (a device that cannot be used), or 'lun-io'. */
export async function examineDevice(run: Run, blockSize: number): Promise<Device> {
  const ask = (command: ScsiCommand) => answerOf(run, command)
  const { qualifier, deviceType, vendor, product } = parseInquiry(await ask(inquiry()))
  if (qualifier !== 0 || deviceType !== 0) {
    const others = await otherLuns(ask)
    if (qualifier !== 0) throw new MatrixError('not-found', `there is no such LUN${others}`)
    throw new MatrixError('config', `it is no disk but ${describeDeviceType(deviceType)}${others}`)
  }
  await run(testUnitReady())
  const pages = parseSupportedPages(await ask(inquiry(0x00)))
  const identity = pages.includes(0x83) ? parseDeviceName(await ask(inquiry(0x83))) : undefined
  const serial = pages.includes(0x80) ? parseSerialNumber(await ask(inquiry(0x80))) : ''
  if (identity === undefined && serial === '')
    throw new MatrixError('config', 'it has neither a name nor a serial number: it cannot be told from another')
  const limits = pages.includes(0xb0) ? parseBlockLimits(await ask(inquiry(0xb0))) : undefined

  const capacity = parseCapacity(await ask(readCapacity()))
  if (capacity.blockSize !== blockSize)
    throw new MatrixError(
      'config',
      `its logical blocks have ${capacity.blockSize} bytes; allowed is ${blockSize} (set it so at the array; physical blocks may be larger)`,
    )
  const provisioning = capacity.isThin && pages.includes(0xb2) ? parseProvisioning(await ask(inquiry(0xb2))) : undefined
  const discard = discardOf(provisioning, limits)
  const cache = await examineCache(run).catch((error: unknown) => {
    if (isMatrixError(error, 'lun-reserved')) return undefined
    throw error
  })
  return {
    name: [vendor, product, identity, serial && `serial ${serial}`].filter(Boolean).join(' '),
    blocks: capacity.blocks,
    maxTransfer: limits?.transfer ?? Number.MAX_SAFE_INTEGER,
    maxCompare: limits?.compare ?? 0,
    discard,
    cache,
  }
}

/** UNMAP before WRITE SAME: it has no data to compare or to repeat where it cannot. */
function discardOf(provisioning?: Provisioning, limits?: BlockLimits): DiscardFacts | undefined {
  if (provisioning?.unmap && limits && limits.unmap > 0) return { by: 'unmap', most: limits.unmap }
  if (provisioning?.writeSame) return { by: 'write-same', most: limits?.same ?? MAX_SAME_BLOCKS }
  return undefined
}

/** Rejects with MatrixError 'config' for a device that could lose what it has answered, 'lun-reserved' while others have reserved it. */
export async function examineCache(run: Run): Promise<CacheFacts> {
  const { writeProtected, writeCache, fua } = parseCacheMode(await answerOf(run, modeSenseCaching()))
  if (writeProtected) throw new MatrixError('config', 'it is write-protected')
  if (writeCache && !fua)
    throw new MatrixError(
      'config',
      'it caches writes and cannot be told to put one on the medium (no FUA); switch its write cache off',
    )
  return { fua, canSynchronize: await knowsSynchronize(run) }
}

async function answerOf(run: Run, command: ScsiCommand): Promise<Buffer> {
  const length = await run(command)
  return (command.read as Buffer).subarray(0, length)
}

/** Some targets do not tell where there is no such LUN. */
async function otherLuns(ask: (command: ScsiCommand) => Promise<Buffer>): Promise<string> {
  try {
    const luns = parseLuns(await ask(reportLuns()))
    return luns.length > 0 ? `; the target has the LUNs ${luns.join(', ')}` : '; the target has none'
  } catch (error) {
    if (isMatrixError(error, 'lun-io')) return ''
    throw error
  }
}

async function knowsSynchronize(run: Run): Promise<boolean> {
  try {
    await run(synchronizeCache())
    return true
  } catch (error) {
    const { key, asc } = senseOf(error) ?? {}
    if (key === senseKey.illegalRequest && asc === INVALID_OPERATION_CODE) return false
    throw error
  }
}
