/**
 * Keeps the filesystems of the configuration mounted on this machine (R28): one that somebody else has unmounted is mounted again, one whose service
 * has ended is unmounted, so that programs meet an error and not a hang, and mounted again once it serves. What a person unmounts by `matrix umount`
 * stays so until `matrix mount`, or the next start.
 */
import type { Clock, Timer } from '../platform/index.ts'
import type { EventNews } from './events.ts'

/** Looks so often, ms. */
const LOOK_MS = 2_000

export type WantedMount = { readonly filesystem: string; readonly directory: string }

export type FilesystemMonitorOptions = {
  readonly wanted: readonly WantedMount[]
  readonly clock: Clock
  /** 'ended': this node has it no more; 'pausing': it recovers. */
  readonly serviceOf: (filesystem: string) => 'serving' | 'pausing' | 'ended'
  readonly isMounted: (mount: WantedMount) => boolean
  /** Rejects with what is wrong. */
  readonly mount: (mount: WantedMount) => Promise<unknown>
  /** At once, whoever uses it. */
  readonly unmount: (mount: WantedMount) => Promise<void>
  readonly publish: (news: EventNews) => void
}

export type MountSight = WantedMount & {
  readonly state: 'mounted' | 'waits' | 'failed' | 'unmounted by hand'
  readonly reason: string | null
}

type Kept = { readonly mount: WantedMount; failure: string | undefined; byHand: boolean; wasMounted: boolean }

export class FilesystemMonitor {
  readonly #options: FilesystemMonitorOptions
  readonly #kept: readonly Kept[]
  #timer: Timer | undefined
  #looking = false
  #stopped = false

  constructor(options: FilesystemMonitorOptions) {
    this.#options = options
    this.#kept = options.wanted.map((mount) => ({ mount, failure: undefined, byHand: false, wasMounted: false }))
  }

  begin(): void {
    if (this.#kept.length === 0 || this.#stopped) return
    void this.#look()
    this.#timer = this.#options.clock.every(LOOK_MS, () => void this.#look())
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** A person has mounted or unmounted what may be one of these. */
  byHand(directory: string, isMounted: boolean): void {
    const kept = this.#kept.find(({ mount }) => mount.directory === directory)
    if (kept) kept.byHand = !isMounted
  }

  look(): readonly MountSight[] {
    return this.#kept.map(({ mount, failure, byHand }) => {
      const state = this.#options.isMounted(mount)
        ? 'mounted'
        : byHand
          ? 'unmounted by hand'
          : failure
            ? 'failed'
            : 'waits'
      return { ...mount, state, reason: state === 'failed' ? (failure ?? null) : null }
    })
  }

  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    for (const kept of this.#kept) if (!this.#stopped) await this.#keep(kept)
    this.#looking = false
  }

  async #keep(kept: Kept): Promise<void> {
    const { serviceOf, isMounted, mount, unmount } = this.#options
    const service = serviceOf(kept.mount.filesystem)
    const is = isMounted(kept.mount)
    if (kept.wasMounted && !is) this.#tell(kept, 'filesystem-unmounted', kept.byHand ? 'by hand' : 'by somebody else')
    kept.wasMounted = is
    try {
      if (is && service === 'ended') {
        await unmount(kept.mount)
        kept.wasMounted = false
        this.#tell(kept, 'filesystem-unmounted', 'its service has ended')
      } else if (!is && service === 'serving' && !kept.byHand) await mount(kept.mount)
      if (!is && isMounted(kept.mount)) this.#tell(kept, 'filesystem-mounted')
      kept.wasMounted = isMounted(kept.mount)
      kept.failure = undefined
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      // told once, and tried again and again
      if (kept.failure !== reason) this.#tell(kept, 'filesystem-not-mounted', reason)
      kept.failure = reason
    }
  }

  #tell({ mount }: Kept, kind: 'filesystem-mounted' | 'filesystem-unmounted' | 'filesystem-not-mounted', why?: string) {
    const { filesystem: name, directory } = mount
    const verb =
      kind === 'filesystem-not-mounted' ? 'cannot be kept as it should at' : `is ${kind.slice('filesystem-'.length)} at`
    this.#options.publish({
      ...{ kind, object: { type: 'filesystem', name }, severity: kind === 'filesystem-not-mounted' ? 'error' : 'info' },
      text: `filesystem ${name} ${verb} ${directory}${why === undefined ? '' : `: ${why}`}`,
      detail: { directory, ...(why !== undefined && { reason: why }) },
    })
  }
}
