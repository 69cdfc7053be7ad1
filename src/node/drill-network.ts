/** The network of a node with `drills = true`: silent as long as config/network-cut.ts says so. */
import { isNetworkCut } from '../../config/index.ts'
import type { Clock, Log, Timer, Transport } from '../platform/index.ts'
import { CuttableTransport } from '../platform/index.ts'

/** How often it looks, ms. */
const LOOK_MS = 200

export class DrillNetwork {
  readonly transport: CuttableTransport
  readonly #timer: Timer

  constructor(network: Transport, { stateDir, clock, log }: { stateDir: string; clock: Clock; log: Log }) {
    this.transport = new CuttableTransport(network, clock)
    const look = (): void => {
      const isCut = isNetworkCut(stateDir)
      if (isCut === this.transport.isCut) return
      log.warn({ isCut }, 'drill: the network cable')
      if (isCut) this.transport.cut()
      else this.transport.heal()
    }
    look()
    this.#timer = clock.every(LOOK_MS, look)
  }

  close(): void {
    this.#timer.cancel()
  }
}
