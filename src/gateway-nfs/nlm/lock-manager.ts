/**
 * The lock manager: what each request of NLM does to the matrix-wide table of byte-range locks (`MatrixFs.ranges`), whichever form it
 * came in (program.ts). Every verb resolves with what is answered; it rejects with NoAnswer when only silence is honest.
 *
 * Locks outlive this node, and all nodes: a lock that is reclaimed is taken like any other, and is its owner's already. A client's first lock is
 * answered only once it is written down that the client has locks (nsm/monitor.ts).
 */
import { brokenRules } from '../../base/broken-rules.ts'
import { isFsError } from '../../base/errors.ts'
import type { RangeRequest } from '../../locking/index.ts'
import type { MatrixFs } from '../../metadata/index.ts'
import { type Clock, within } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { EARLY_GRANT_MS } from '../limits.ts'
import { isOldNews, type Monitor } from '../nsm/monitor.ts'
import type { Host } from '../portmap/hosts.ts'
import type { CallContext } from '../rpc/table-program.ts'
import { plainAddress } from '../rpc/transport.ts'
import type { Callbacks } from './callbacks.ts'
import { fileToFree, fileToLock, type LockedFile } from './files.ts'
import { clientName, ownerOf, sameHostName } from './identity.ts'
import { OwnerTurns } from './owner-turns.ts'
import { holderOf, rangeOf } from './range.ts'
import { Shares } from './shares.ts'
import { nlmStatusOf } from './status.ts'
import * as n from './tables.ts'
import { WaitingLocks } from './waiting.ts'

export type LockManagerOptions = {
  readonly callbacks: Callbacks
  readonly monitor: Monitor
  /** All that is exported now. */
  readonly filesystems: () => readonly MatrixFs[]
  readonly clock: Clock
  readonly log: Log
}

/** How a lock is asked for. */
export type LockHow = { readonly monitored: boolean; readonly byMessage: boolean }

export class LockManager {
  readonly #options: LockManagerOptions
  readonly #turns = new OwnerTurns()
  readonly #waiting: WaitingLocks
  readonly #shares = new Shares()

  constructor(options: LockManagerOptions) {
    this.#options = options
    const { callbacks, clock, log } = options
    this.#waiting = new WaitingLocks({ callbacks, clock, log, turns: this.#turns })
  }

  get counters(): { readonly waiting: number; readonly shares: number } {
    return { waiting: this.#waiting.count, shares: this.#shares.count }
  }

  test(context: CallContext, { exclusive, lock }: Pick<n.NlmTestArgs, 'exclusive' | 'lock'>): Promise<n.NlmTestReply> {
    const work = async () => {
      const file = await fileToLock(context, lock.file, 'look')
      const found = await file.fs.ranges.test(requestOf(context, file, exclusive, lock))
      return found ?? n.NLM4_GRANTED
    }
    return this.#answered(context, 'TEST', work).then((found) =>
      typeof found === 'number' ? { kind: found, value: undefined } : { kind: n.NLM4_DENIED, value: holderOf(found) },
    )
  }

  lock(context: CallContext, args: n.NlmLockArgs, how: LockHow): Promise<number> {
    const { exclusive, lock } = args
    return this.#inTurn(context, 'LOCK', lock, async () => {
      const file = await fileToLock(context, lock.file, exclusive ? 'exclusive' : 'shared')
      const request = requestOf(context, file, exclusive, lock)
      const host = hostOf(context)
      if (how.monitored && !brokenRules.holderIsKnown)
        await this.#options.monitor.watch(file.fs, { ...host, name: lock.callerName, state: args.state })
      return this.#take(file, request, args, host, how)
    })
  }

  cancel(context: CallContext, { exclusive, lock }: n.NlmCancelArgs): Promise<number> {
    return this.#inTurn(context, 'CANCEL', lock, async () => {
      const file = fileToFree(context, lock.file)
      const request = requestOf(context, file, exclusive, lock)
      const found = await this.#waiting.withdraw(file, request)
      if (!found) return n.NLM4_DENIED
      if (found.granted && !found.acted) await release(file, request)
      return n.NLM4_GRANTED
    })
  }

  unlock(context: CallContext, { lock }: n.NlmUnlockArgs): Promise<number> {
    return this.#inTurn(context, 'UNLOCK', lock, async () => {
      const file = fileToFree(context, lock.file)
      const request = requestOf(context, file, true, lock)
      this.#waiting.ownerActed(file, request, true)
      await release(file, request)
      return n.NLM4_GRANTED
    })
  }

  share(context: CallContext, { share }: n.NlmShareArgs): Promise<number> {
    const { access, deny } = share
    return this.#answered(context, 'SHARE', async () => {
      const file = await fileToLock(context, share.file, access & n.SHARE_WRITE ? 'exclusive' : 'shared')
      const owner = ownerOf(addressOf(context), share.callerName, 0, share.ownerHandle)
      return this.#shares.share(file, { ...owner, access, deny }) ? n.NLM4_GRANTED : n.NLM4_DENIED
    })
  }

  unshare(context: CallContext, { share }: n.NlmShareArgs): Promise<number> {
    return this.#answered(context, 'UNSHARE', async () => {
      const owner = ownerOf(addressOf(context), share.callerName, 0, share.ownerHandle)
      this.#shares.unshare(fileToFree(context, share.file), owner)
      return n.NLM4_GRANTED
    })
  }

  /**
   * The host has restarted, or says that it holds nothing any more. With its `state` after the restart: unless it is known to have locks in that
   * state already. Rejects while the matrix cannot say: it has to be told again.
   */
  async freeHost(address: string, name: string, state?: number): Promise<void> {
    const { monitor } = this.#options
    const filesystems = this.#options.filesystems()
    const known = monitor.namesAt(address, filesystems).filter((each) => sameHostName(each, name))
    for (const each of new Set([name, ...known])) {
      const client = clientName(address, each)
      await this.#turns.over(client)
      for (const fs of filesystems) {
        const unless = () => state !== undefined && !brokenRules.oldNewsFreesNothing && isOldNews(fs, client, state)
        if (unless()) continue
        this.#waiting.dropClient(fs, client)
        this.#shares.dropClient(fs, client)
        await fs.ranges.releaseClient(client, unless)
        if (!unless()) await monitor.forget(fs, client)
      }
    }
  }

  close(): void {
    this.#waiting.close()
  }

  /** Takes a lock or begins to wait for it, in the owner's turn. */
  async #take(
    file: LockedFile,
    request: RangeRequest,
    { block, exclusive, lock }: n.NlmLockArgs,
    host: Host,
    { byMessage }: LockHow,
  ): Promise<number> {
    if (block && this.#waiting.waits(file, request)) return n.NLM4_BLOCKED
    await this.#waiting.withdraw(file, request)
    const { ranges } = file.fs
    if (!(await ranges.take(request))) {
      this.#waiting.ownerActed(file, request, false)
      return n.NLM4_GRANTED
    }
    if (!block) return n.NLM4_DENIED
    if (!this.#waiting.hasRoomFor(host)) return n.NLM4_DENIED_NOLOCKS
    const wait = ranges.wait(request)
    const granted = wait.granted.then(() => n.NLM4_GRANTED)
    const early = await within(this.#options.clock, granted, EARLY_GRANT_MS)
    if (early !== 'late') return early
    granted.catch(() => {}) // seen by whoever waits now
    this.#waiting.add({ file, request, grant: { host, exclusive, lock, byMessage } }, wait)
    return n.NLM4_BLOCKED
  }

  /** As `#answered`, after everything that the lock's owner has asked for before. */
  #inTurn(context: CallContext, procedure: string, lock: n.NlmLock, work: () => Promise<number>): Promise<number> {
    return this.#answered(context, procedure, () => {
      const { callerName, svid, ownerHandle } = lock
      return this.#turns.take(ownerOf(addressOf(context), callerName, svid, ownerHandle), work)
    })
  }

  /** What `work` comes to, or the status of its failure. */
  async #answered<T>({ session }: CallContext, procedure: string, work: () => Promise<T>): Promise<T | number> {
    try {
      return await work()
    } catch (error) {
      return nlmStatusOf(error, (unknown) => session.report(procedure, unknown))
    }
  }
}

function addressOf({ session }: CallContext): string {
  return plainAddress(session.client.address)
}

function hostOf(context: CallContext): Host {
  const { transport, localAddress } = context.session.client
  return {
    address: addressOf(context),
    transport,
    localAddress: localAddress === undefined ? undefined : plainAddress(localAddress),
  }
}

function requestOf(context: CallContext, { ino }: LockedFile, exclusive: boolean, lock: n.NlmLock): RangeRequest {
  const owner = ownerOf(addressOf(context), lock.callerName, lock.svid, lock.ownerHandle)
  return { ino, ...owner, ...rangeOf(lock), mode: exclusive ? 'exclusive' : 'shared' }
}

/** Frees what the owner has in the range; a file that is gone has nothing. */
async function release({ fs, ino }: LockedFile, { client, owner, start, end }: RangeRequest): Promise<void> {
  await fs.ranges.release(ino, { client, owner }, { start, end }).catch((error) => {
    if (!isFsError(error, 'ESTALE')) throw error
  })
}
