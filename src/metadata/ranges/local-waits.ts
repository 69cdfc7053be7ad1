/**
 * Those who wait at this node. A waiter is looked after when its turn may have come: some node says so (a hint, which may be lost), a view has
 * resumed, or its row and those in its way, as this image has them, say so. The last is done twice a second, and finds what all else has
 * missed: what a node does is in its peers' images soon (recovery/mount.ts, announcements).
 */
import { FsError, isFsError } from '../../base/errors.ts'
import type { Ino } from '../../base/ids.ts'
import { sameLife } from '../../base/life.ts'
import { FLOCK_BYTE, type RangeRequest } from '../../locking/index.ts'
import { LocalWait } from './local-wait.ts'
import { dropWaits, type MatrixTable, type RangeDraft } from './range-draft.ts'
import { asRangeError, checkRoom } from './range-limits.ts'
import type { RangeParts } from './range-parts.ts'
import { type LocalLine, RangeTables } from './range-tables.ts'
import { confirmDeadlock, KnownWaits } from './waits-for.ts'

/** Inodes with waiters, and waiters, that one look at all takes on. */
const INODES_PER_LOOK = 200
const WAITERS_PER_LOOK = 4096

export class LocalWaits implements LocalLine {
  readonly tables: RangeTables
  readonly #parts: RangeParts
  /** Resolves once what the client has been granted is durable, as far as it has to be. */
  readonly #told: (client: string) => Promise<void>
  /** By inode and place in its line. */
  readonly #waits = new Map<Ino, Map<number, LocalWait>>()
  /** Inodes that are being looked at; true: and then once more. */
  readonly #looking = new Map<Ino, boolean>()
  /** Why nobody waits here any more. */
  #over: FsError | undefined
  circlesSuspected = 0
  deadlocks = 0

  constructor(parts: RangeParts, told: (client: string) => Promise<void>) {
    this.#parts = parts
    this.#told = told
    this.tables = new RangeTables(parts, this)
  }

  get size(): number {
    let size = 0
    for (const waits of this.#waits.values()) size += waits.size
    return size
  }

  /** Waits for what is asked for, which makes sense. */
  begin(request: RangeRequest): LocalWait {
    const wait = new LocalWait(request)
    void this.#begin(wait)
    return wait
  }

  async #begin(wait: LocalWait): Promise<void> {
    const { request } = wait
    try {
      await this.tables.change(
        request.ino,
        (draft) => {
          if (wait.state !== 'new') return
          if (this.#over) throw this.#over
          if (!draft.table.inTheWay(request)) {
            checkRoom(this.#parts.volume, request)
            draft.hold(request, request, request.mode)
            draft.afterwards(() => this.#granted(wait))
            return
          }
          checkRoom(this.#parts.volume, request)
          const { order } = draft.queue(request, this.#parts.self)
          draft.afterwards(() => {
            wait.queued(order)
            const waits = this.#waits.get(request.ino)
            if (waits) waits.set(order, wait)
            else this.#waits.set(request.ino, new Map([[order, wait]]))
          })
        },
        'grows',
      )
      this.#checkDeadlock(wait, this.#known())
    } catch (error) {
      wait.fail(asRangeError(error) as Error)
    }
  }

  /** Its row is a lock now. */
  #granted(wait: LocalWait): void {
    this.#forgetWait(wait)
    wait.won()
    this.#told(wait.request.client).then(
      () => wait.tell(),
      (error) => wait.fail(error),
    )
  }

  /** True: it is not granted, and never will be. */
  async cancel(wait: LocalWait): Promise<boolean> {
    if (wait.state === 'new') wait.cancelled() // and is never queued
    if (wait.state === 'queued') {
      await this.tables.change(wait.request.ino, (draft) => {
        if (wait.state !== 'queued') return
        draft.drop(wait.order)
        draft.afterwards(() => this.#dropped(wait))
      })
    }
    return wait.state !== 'won'
  }

  #dropped(wait: LocalWait, why = new FsError('EINTR')): void {
    this.#forgetWait(wait)
    wait.fail(why)
  }

  #forgetWait({ request, order }: LocalWait): void {
    const waits = this.#waits.get(request.ino)
    waits?.delete(order)
    if (waits?.size === 0) this.#waits.delete(request.ino)
  }

  #known(): KnownWaits {
    return new KnownWaits(this.#parts, (ino) => this.tables.known(ino))
  }

  #checkDeadlock(wait: LocalWait, known: KnownWaits): void {
    if (wait.state !== 'queued' || wait.request.start === FLOCK_BYTE.start || wait.isBeingConfirmed) return
    const circle = known.circle(wait.request)
    if (!circle) return
    wait.isBeingConfirmed = true
    this.circlesSuspected++
    confirmDeadlock(
      this.#parts,
      wait.request,
      circle,
      (ino) => this.tables.held(ino),
      () => {
        if (wait.state !== 'queued') return
        this.tables.within(wait.request.ino, (draft) => {
          draft.drop(wait.order)
          draft.afterwards(() => {
            this.#forgetWait(wait)
            wait.fail(new FsError('EDEADLK'))
            this.deadlocks++
          })
        })
      },
    )
      .catch((error) => this.#parts.log.debug({ error: String(error) }, 'a deadlock could not be confirmed'))
      .finally(() => {
        wait.isBeingConfirmed = false
      })
  }

  /** Looks whether somebody who waits here for bytes of the inode may have them now. */
  wake(ino: Ino): void {
    if (!this.#waits.has(ino) || this.#over) return
    if (this.#looking.has(ino)) {
      this.#looking.set(ino, true)
      return
    }
    this.#looking.set(ino, false)
    this.tables
      .change(ino, () => {})
      .catch(() => {}) // the next look is half a second away
      .finally(() => {
        const again = this.#looking.get(ino)
        this.#looking.delete(ino)
        if (again) this.wake(ino)
      })
  }

  /** A view has resumed: what lives that are gone had is free now. */
  wakeAll(): void {
    for (const ino of this.#waits.keys()) this.wake(ino)
  }

  /** What no hint has told: this image knows it sooner or later. */
  lookAtAll(): void {
    const { self } = this.#parts
    const known = this.#known()
    const looked: LocalWait[] = []
    let inodes = 0
    for (const [ino, waits] of [...this.#waits]) {
      if (++inodes > INODES_PER_LOOK || looked.length >= WAITERS_PER_LOOK) break
      // the others first next time
      this.#waits.delete(ino)
      this.#waits.set(ino, waits)
      const table = known.table(ino)
      const isLost = [...waits.keys()].some((order) => !this.#isIn(table, order))
      if (isLost || table.promised().some((waiter) => sameLife(waiter, self))) {
        this.wake(ino)
        continue
      }
      for (const [order, wait] of [...waits]) {
        if (looked.length >= WAITERS_PER_LOOK) break
        waits.delete(order)
        waits.set(order, wait)
        looked.push(wait)
      }
    }
    for (const wait of known.suspects(looked)) this.#checkDeadlock(wait, known)
  }

  /** Nobody waits here any more: whoever does hears `why` once nobody takes him for one who waits. */
  async stop(why: FsError): Promise<void> {
    const { self } = this.#parts
    this.#over = why
    for (const ino of [...this.#waits.keys()])
      await this.tables.change(ino, (draft) => {
        dropWaits(draft, (waiter) => sameLife(waiter, self))
        for (const wait of this.#waits.get(ino)?.values() ?? []) draft.afterwards(() => this.#dropped(wait, why))
      })
  }

  /** The same, without a row being changed. */
  end(why: FsError): void {
    this.#over = why
    for (const waits of this.#waits.values()) for (const wait of waits.values()) wait.fail(why)
    this.#waits.clear()
    this.tables.clear()
  }

  // ── LocalLine ────────────────────────────────────────────────────────────────────────────────────────────────────

  grant(draft: RangeDraft): void {
    const waits = this.#waits.get(draft.ino)
    for (let granted = waits !== undefined; granted; ) {
      granted = false
      for (const waiter of draft.table.promised()) {
        const wait = sameLife(waiter, this.#parts.self) ? waits?.get(waiter.order) : undefined
        if (!wait) continue
        granted = true
        draft.drop(waiter.order)
        try {
          draft.hold(waiter, waiter, waiter.mode)
          draft.afterwards(() => this.#granted(wait))
        } catch (error) {
          // it cannot be had, and holds up nobody else
          if (!isFsError(error, 'ENOLCK')) throw error
          draft.afterwards(() => this.#dropped(wait, error))
        }
        draft.commitIfLarge()
      }
    }
  }

  missing(table: MatrixTable, ino: Ino): void {
    const waits = this.#waits.get(ino)
    if (!waits) return
    for (const [order, wait] of waits) if (!this.#isIn(table, order)) this.#dropped(wait)
  }

  /** Whether that place is ours: once a peer has taken us out, somebody else may have it. */
  #isIn(table: MatrixTable, order: number): boolean {
    const waiter = table.waiterAt(order)
    return waiter !== undefined && sameLife(waiter, this.#parts.self)
  }
}
