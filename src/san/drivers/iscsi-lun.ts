/**
 * `iscsi:` LUNs: a logical unit of an iSCSI target, reached by the initiator of this program (iscsi/session.ts), with a session of its own.
 *
 * Durable: every write is sent with FUA, so that what was answered is on the medium, and neither a power loss of the target nor a
 * new session takes it back. A device that cannot do that and has a cache that forgets is refused. `flush` asks for what others wrote, too.
 *
 * Refused as well: what is no disk, is write-protected, or has logical blocks of other than 512 bytes: frames of journals and sectors of leases
 * are multiples of 512 at multiples of 512, and reading and writing back a larger block around one could undo what another node writes beside it.
 *
 * Nothing of a write begins to leave this process later than `guardMs` after it was handed over, so not after the end of the lease that the fence gate
 * has looked at. Then it is aborted at the target, or within half a time-out the connection is reset. What the target has received until then it executes
 * or gives up within the life of an I/O (`ioLifeMs`, from the hand-over), by which others reckon; a write of which nobody knows rejects only then.
 */
import { allEnded } from '../../base/all-ended.ts'
import { assert } from '../../base/assert.ts'
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Timings } from '../../base/timings.ts'
import type { Host } from '../../platform/host.ts'
import type { Log } from '../../platform/log.ts'
import { formatAddress, type PeerAddress } from '../../platform/transport.ts'
import type { Portal } from '../iscsi/dial.ts'
import { discoverTargets } from '../iscsi/discovery.ts'
import type { LoginOptions } from '../iscsi/login.ts'
import { type Execute, IscsiSession } from '../iscsi/session.ts'
import { slice } from '../iscsi/task.ts'
import { parseIscsiUrl } from '../iscsi/url.ts'
import type { Lun, LunPath, WriteOptions } from '../lun.ts'
import { Paths } from '../paths.ts'
import type { Reservations } from '../reservations.ts'
import { encodeLun, parseCapacity } from '../scsi/answers.ts'
import {
  compareAndWriteBlocks,
  readBlocks,
  readCapacity,
  type ScsiCommand,
  synchronizeCache,
  unmapBlocks,
  writeBlocks,
  writeSameBlocks,
} from '../scsi/command.ts'
import { type CacheFacts, type Device, type DiscardFacts, examineCache, examineDevice } from '../scsi/device.ts'
import { runCommand, senseOf, sizeOf } from '../scsi/run-command.ts'
import { senseKey } from '../scsi/sense.ts'
import { IscsiReservations } from './iscsi-reservations.ts'

const BLOCK = 512
/** Longest transfer of one command, bytes: longer ones would hold up others, and R2Ts, for too long. */
const MAX_TRANSFER = 1024 * 1024
/** RFC 7143, 9.2.1: 96 bits. */
const SECRET_MIN = 12

type PendingWrite = { readonly from: number; readonly to: number; isSuperseded: boolean }

export type IscsiLunOptions = { readonly timings: Timings; readonly log: Log }

export class IscsiLun implements Lun {
  readonly #place: string
  readonly #host: Host
  readonly #commandMs: number
  readonly paths: readonly LunPath[] | undefined
  #session!: IscsiSession
  #device!: Device
  readonly #writes = new Set<PendingWrite>()
  readonly reservations: Reservations

  /**
   * Rejects with MatrixError 'config' (the URL, a secret, a device of the wrong kind), 'not-found' (no such target or LUN), 'lun-io' (it cannot be
   * reached now) or 'protocol'.
   */
  static async open(url: string, host: Host, { timings, log }: IscsiLunOptions): Promise<IscsiLun> {
    const { addresses, target, lun, digests, initiator, chap } = parseIscsiUrl(url)
    const place = url.replace(/\?.*$/s, '')
    try {
      const random = host.random(5)
      const login: Omit<LoginOptions, 'targetName'> = {
        initiatorName: initiator ?? defaultInitiator(host.name),
        // qualified by random numbers, the form for whoever owns no others; kept for as long as this LUN is open
        isid: Buffer.concat([Buffer.of(0x80), random]),
        digests,
        ...(chap && { chap: await readSecrets(chap, host) }),
        random: host.random,
      }
      const { ioTimeoutMs, ioLifeMs, guardMs } = timings
      // where there is another path a dead one has to be found out while there is time to send again what is under way
      const limitMs = addresses.length > 1 ? ioTimeoutMs / 4 : ioTimeoutMs
      const paths = new Paths(addresses, formatAddress, host.clock)
      const opened = new IscsiLun(place, host, guardMs, addresses.length > 1 ? paths.all : undefined)
      try {
        opened.#session = await IscsiSession.open({
          ...{
            host,
            paths,
            limitMs,
            lookMs: 2 * ioTimeoutMs,
            lifeMs: ioLifeMs,
            log,
            lun: encodeLun(lun),
            identity: place,
          },
          login: { ...login, targetName: target },
          timings: { idleMs: limitMs, answerMs: ioTimeoutMs / 4 },
          afterlifeMs: ioLifeMs - guardMs,
          verify: (execute, deadlineAt) => opened.#verify(execute, deadlineAt),
        })
      } catch (error) {
        if (isMatrixError(error, 'not-found') && /there is no target/.test(error.message))
          throw new MatrixError(
            'not-found',
            `${error.message}${await others(host, { address: addresses[0] as PeerAddress, limitMs }, login)}`,
          )
        throw error
      }
      return opened
    } catch (error) {
      if (!isMatrixError(error) || error.message.startsWith(place)) throw error
      throw new MatrixError(error.code, `${place}: ${error.message}`, { cause: error })
    }
  }

  private constructor(place: string, host: Host, commandMs: number, paths: readonly LunPath[] | undefined) {
    this.#place = place
    this.#host = host
    this.#commandMs = commandMs
    this.paths = paths
    this.reservations = new IscsiReservations((command) => this.#run(command))
  }

  get identity(): string {
    return `${this.#place} (${this.#device.name})`
  }

  get size(): number {
    return this.#device.blocks * BLOCK
  }

  async measure(): Promise<number> {
    const command = readCapacity()
    const length = await this.#run(command)
    const { blocks } = parseCapacity((command.read as Buffer).subarray(0, length))
    if (blocks > this.#device.blocks) this.#device = { ...this.#device, blocks }
    return this.size
  }

  async read(offset: number, buffer: Buffer): Promise<void> {
    if (buffer.length === 0) return
    this.#checkRange('read', offset, buffer.length)
    // labels and records are read in whole sectors, but the contract does not ask for it
    const from = offset - (offset % BLOCK)
    const to = Math.ceil((offset + buffer.length) / BLOCK) * BLOCK
    const isWhole = from === offset && to - from === buffer.length
    const target = isWhole ? buffer : Buffer.allocUnsafe(to - from)
    await this.#each(from, to, (start, end) =>
      readBlocks(start / BLOCK, (end - start) / BLOCK, target.subarray(start - from, end - from)),
    )
    if (!isWhole) target.copy(buffer, 0, offset - from)
  }

  async write(offset: number, buffers: readonly Uint8Array[], _options: WriteOptions): Promise<void> {
    const length = sizeOf(buffers)
    if (length === 0) return
    this.#checkChange('write', offset, length)
    const { fua } = this.#device.cache ?? (await this.#cache())
    await this.#change(offset, length, (isSuperseded) =>
      this.#each(offset, offset + length, (start, end) =>
        writeBlocks(start / BLOCK, (end - start) / BLOCK, slice(buffers, start - offset, end - offset), {
          fua,
          isSuperseded,
        }),
      ),
    )
  }

  get maxCompareBytes(): number {
    return this.#device.maxCompare * BLOCK
  }

  /** Only where `maxCompareBytes` allows it. */
  async compareAndWrite(offset: number, expected: Buffer, wanted: Buffer): Promise<'written' | 'differs'> {
    const { length } = wanted
    assert(
      length > 0 && length <= this.maxCompareBytes,
      `${length} bytes to compare, of ${this.maxCompareBytes} at most`,
    )
    this.#checkChange('compare and write', offset, length)
    const { fua } = this.#device.cache ?? (await this.#cache())
    try {
      await this.#change(offset, length, (isSuperseded) =>
        this.#run(compareAndWriteBlocks(offset / BLOCK, length / BLOCK, { expected, wanted }, { fua, isSuperseded })),
      )
      return 'written'
    } catch (error) {
      // sent a second time after its connection was lost it meets what it has written itself
      if (await this.#holds(offset, wanted)) return 'written'
      if (senseOf(error)?.key === senseKey.miscompare) return 'differs'
      throw error
    }
  }

  /** False as well where nobody can tell. */
  async #holds(offset: number, wanted: Buffer): Promise<boolean> {
    const found = Buffer.alloc(wanted.length)
    try {
      await this.read(offset, found)
    } catch (error) {
      if (isMatrixError(error)) return false
      throw error
    }
    return found.equals(wanted)
  }

  /** Undefined where the device does not take space back. */
  get discard(): ((offset: number, bytes: number) => Promise<void>) | undefined {
    const how = this.#device.discard
    return how && ((offset, bytes) => this.#discard(how, offset, bytes))
  }

  /** One command after the other: they are no data, and a device may take long for each. */
  async #discard({ by, most }: DiscardFacts, offset: number, bytes: number): Promise<void> {
    this.#checkChange('discard', offset, bytes)
    const zeroes = Buffer.alloc(BLOCK)
    const step = most * BLOCK
    for (let at = offset; at < offset + bytes; at += step) {
      const length = Math.min(step, offset + bytes - at)
      const [block, count] = [at / BLOCK, length / BLOCK]
      await this.#change(at, length, (isSuperseded) =>
        this.#run(
          by === 'unmap'
            ? unmapBlocks(block, count, { isSuperseded })
            : writeSameBlocks(block, count, zeroes, { unmap: true, isSuperseded }),
        ),
      )
    }
  }

  /** Whatever overlaps these bytes and is older is not sent once more, should its connection be lost. */
  async #change(offset: number, bytes: number, run: (isSuperseded: () => boolean) => Promise<unknown>): Promise<void> {
    const own: PendingWrite = { from: offset, to: offset + bytes, isSuperseded: false }
    for (const older of this.#writes) if (older.from < own.to && own.from < older.to) older.isSuperseded = true
    this.#writes.add(own)
    try {
      await run(() => own.isSuperseded)
    } finally {
      this.#writes.delete(own)
    }
  }

  async flush(): Promise<void> {
    const { canSynchronize } = await this.#cache()
    if (canSynchronize) await this.#run(synchronizeCache())
  }

  /** Asked again while the device has not told. */
  async #cache(): Promise<CacheFacts> {
    const known = this.#device.cache
    if (known) return known
    const cache = await examineCache((command) => this.#run(command))
    this.#device = { ...this.#device, cache }
    return cache
  }

  close(): Promise<void> {
    return this.#session.close()
  }

  /** In commands of what one may transfer, all at a time. Settles once all have, so that nothing is under way when it rejects. */
  async #each(from: number, to: number, make: (start: number, end: number) => ScsiCommand): Promise<void> {
    const step = Math.min(MAX_TRANSFER, this.#device.maxTransfer * BLOCK)
    if (to - from <= step) {
      await this.#run(make(from, to))
      return
    }
    const parts: Promise<unknown>[] = []
    for (let at = from; at < to; at += step) parts.push(this.#run(make(at, Math.min(at + step, to))))
    await allEnded(parts)
  }

  async #run(command: ScsiCommand): Promise<number> {
    const { clock } = this.#host
    const deadlineAt = clock.now() + this.#commandMs
    return runCommand((each) => this.#session.execute(each, deadlineAt), command, {
      ...{ clock, deadlineAt, identity: this.#place },
      onChanged: (why) => this.#session.renew(`the device says: ${why}`),
    })
  }

  /** Is it still what it was? */
  async #verify(execute: Execute, deadlineAt: number): Promise<void> {
    const { clock } = this.#host
    const before: Device | undefined = this.#device
    const run = (command: ScsiCommand) => runCommand(execute, command, { clock, deadlineAt, identity: this.#place })
    const found = await examineDevice(run, BLOCK)
    if (before && found.name !== before.name)
      throw new MatrixError(
        'lun-foreign',
        `${this.#place} was ${before.name} when it was opened, and is ${found.name} now`,
      )
    if (before && found.blocks < before.blocks)
      throw new MatrixError(
        'lun-foreign',
        `${this.#place} has shrunk from ${before.blocks} to ${found.blocks} blocks: what lay behind is lost`,
      )
    // one that has grown keeps its size until somebody measures it
    this.#device = before ? { ...found, blocks: before.blocks, cache: found.cache ?? before.cache } : found
  }

  #checkChange(what: string, offset: number, length: number): void {
    assert(
      offset % BLOCK === 0 && length % BLOCK === 0,
      `${what} of ${length} bytes at ${offset} is not in whole sectors`,
    )
    this.#checkRange(what, offset, length)
  }

  #checkRange(what: string, offset: number, length: number): void {
    if (offset >= 0 && Number.isSafeInteger(offset) && offset + length <= this.size) return
    throw new MatrixError(
      'lun-io',
      `${this.identity}: ${what} of ${length} bytes at ${offset} exceeds its ${this.size} bytes`,
    )
  }
}

/** By which arrays know this machine, unless the URL says otherwise. */
function defaultInitiator(hostName: string): string {
  return `iqn.2026-11.net.matrixfs:${hostName.toLowerCase().replace(/[^a-z0-9.-]/g, '-')}`
}

async function readSecrets(
  { user, secretFile, targetSecretFile }: { user: string; secretFile: string; targetSecretFile?: string },
  host: Host,
): Promise<NonNullable<LoginOptions['chap']>> {
  const read = async (path: string): Promise<string> => {
    const secret = await host.secret(path)
    if (secret.length >= SECRET_MIN) return secret
    throw new MatrixError(
      'config',
      `found ${secret.length} characters in the first line of ${path}; allowed is at least ${SECRET_MIN}`,
    )
  }
  const secret = await read(secretFile)
  if (targetSecretFile === undefined) return { user, secret }
  const target = { secret: await read(targetSecretFile) }
  // otherwise the target could have its own challenge answered by asking it back
  if (target.secret === secret)
    throw new MatrixError('config', 'both ends have the same secret; allowed are different ones')
  return { user, secret, target }
}

/** Which targets there are instead, as far as the portal tells. */
async function others(host: Host, portal: Portal, login: Omit<LoginOptions, 'targetName'>): Promise<string> {
  try {
    const names = await discoverTargets(host, portal, { ...login, digests: false })
    return names.length > 0 ? `; there are ${names.join(', ')}` : '; there is none for this initiator'
  } catch {
    return ''
  }
}
