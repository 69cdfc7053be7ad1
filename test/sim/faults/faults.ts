/**
 * The hand of fate in a simulated matrix: what goes wrong, when, from the run's seed. Each seed draws the kinds it has, one file or
 * function each; a table says how often. Everything heals by itself after a while, and all of it at `heal`.
 *
 * The network is never perfect: frames take their time, in some seeds they are lost, with their connection.
 */
import type { Prng } from '../../../src/base/prng.ts'
import type { Clock } from '../../../src/platform/index.ts'
import type { Coverage } from '../coverage.ts'
import { scriptFaults } from '../flaky-agent.ts'
import type { SimMatrix } from '../matrix.ts'
import { clockSteps } from './clocks.ts'
import { connections } from './connections.ts'
import { partitions, swizzling } from './cuts.ts'
import { damage } from './damage.ts'
import { deaths, deathsAtCheckpoints } from './deaths.ts'
import { destruction } from './destruction.ts'
import { drains } from './drains.ts'
import { Fate } from './fate.ts'
import { leaves } from './leaves.ts'
import { lunChanges } from './lun-changes.ts'
import { lunErrors } from './lun-errors.ts'
import { pauses, slowNodes } from './pauses.ts'
import { reservationFaults, reservations } from './reservations.ts'
import { slowLuns } from './slow-luns.ts'
import { virtualHostFaults, virtualHosts } from './virtual-hosts.ts'

type Kind = { readonly begin: (fate: Fate) => void; readonly chance: number; readonly counts: readonly string[] }

const kinds: readonly Kind[] = [
  { begin: deaths, chance: 1, counts: ['death of a node', 'power loss'] },
  { begin: leaves, chance: 0.3, counts: ['clean leave'] },
  { begin: deathsAtCheckpoints, chance: 0.4, counts: ['death at a checkpoint'] },
  {
    begin: partitions,
    chance: 0.5,
    counts: [
      ...['groups', 'deaf', 'mute', 'pair', 'one way'].map((how) => `partition, ${how}`),
      'partition of one network',
    ],
  },
  { begin: swizzling, chance: 0.25, counts: ['swizzled links'] },
  { begin: connections, chance: 0.4, counts: ['lost connection', 'late old connection', 'dial without answer'] },
  { begin: pauses, chance: 0.5, counts: ['pause of a thread', 'pause of a process'] },
  { begin: slowNodes, chance: 0.3, counts: ['slow node'] },
  { begin: clockSteps, chance: 0.3, counts: ['clock step'] },
  { begin: slowLuns, chance: 0.4, counts: ['slow LUN', 'slow LUN for one kind of I/O'] },
  {
    begin: lunErrors,
    chance: 0.35,
    counts: [
      'LUN read error',
      'LUN write error',
      'LUN read-only',
      'LUN gone',
      'path gone',
      'LUN read error for all',
      'LUN write error for all',
      'LUN read-only for all',
      'LUN gone for all',
    ],
  },
  {
    begin: lunChanges,
    chance: 0.6,
    counts: [
      'LUN added',
      'LUN removed',
      'filesystem grown',
      'LUN grown',
      'LUN not in reach of a node',
      'LUN that hangs',
    ],
  },
  { begin: reservations, chance: 1, counts: reservationFaults },
  { begin: virtualHosts, chance: 1, counts: virtualHostFaults },
  { begin: drains, chance: 0.5, counts: ['LUN drained', 'draining stopped'] },
  { begin: damage, chance: 0.3, counts: ['damaged label', 'damaged lease sector', 'damaged membership partition'] },
]

/** Of what destroys the only copy of something; in seeds of its own. */
const destructions: readonly string[] = [
  'misdirected write',
  ...['journal', 'checkpoint', 'manifest', 'database'].map((what) => `bit rot: ${what}`),
]

/** Names under which faults are counted. */
export const faultNames: readonly string[] = [
  ...kinds.flatMap(({ counts }) => counts),
  ...scriptFaults,
  ...['now', 'later', 'torn', 'never'].map((how) => `write of the dead: ${how}`),
  'unflushed write at power loss',
  'unflushed write torn by power loss',
  'lost frame',
  ...destructions,
]

export class Faults {
  readonly #matrix: SimMatrix
  readonly #prng: Prng
  readonly #fate: Fate

  /** `clock` is of a machine that nothing happens to; faults come `pace` times as seldom as in a dense run. */
  constructor(matrix: SimMatrix, prng: Prng, clock: Clock, coverage: Coverage, pace: number) {
    this.#matrix = matrix
    this.#prng = prng
    this.#fate = new Fate(matrix, prng, clock, coverage, pace)
  }

  /** `destroys`: nothing goes wrong but that nodes die, and that the only copy of something is destroyed. */
  begin(destroys: boolean): void {
    const { network } = this.#matrix
    const prng = this.#prng
    if (destroys) {
      deaths(this.#fate)
      destruction(this.#fate)
      return
    }
    network.loss = prng.pick([0, 0, 0.0002, 0.001])
    network.maxDelayMs = prng.pick([1, 3, 20])
    for (const { begin, chance } of kinds) if (prng.chance(chance)) begin(this.#fate)
  }

  heal(): void {
    this.#fate.heal()
    const { network } = this.#matrix
    network.healAll()
    network.maxDelayMs = 2
  }
}
