/**
 * Which models are searched, with what bounds, and which broken rules they must catch. `short` ones are searched by `npm test`,
 * all of them by `npm run models`.
 */
import { type ElectionOptions, type ElectionRules, election } from './election.ts'
import { type LunChangeOptions, type LunChangeRules, lunChange } from './lun-change.ts'
import { type SanLockOptions, type SanLockRules, sanLock } from './san-lock.ts'
import type { Failure, Model } from './search.ts'

/** A model, whatever its states. */
export type AnyModel = Model<unknown>

export type Bounded = { readonly model: AnyModel; readonly short: boolean }
/** A rule that is broken, and how the search must notice. */
export type Broken = {
  readonly model: AnyModel
  readonly caughtAs: Failure['kind']
  readonly what: RegExp
  readonly short: boolean
}
export type Suite = { readonly name: string; readonly sound: readonly Bounded[]; readonly broken: readonly Broken[] }

const any = <S>(model: Model<S>): AnyModel => model as AnyModel

// ---- the SAN lock ----

const twoNodes = { nodes: 2, partitions: 1, terms: 2, rounds: 2, lives: 2, restarts: 1 } as const
const threePartitions = { nodes: 2, partitions: 3, terms: 1, rounds: 1, lives: 1, restarts: 0 } as const

const lock = (name: string, options: Omit<SanLockOptions, 'name'>, short = true): Bounded => ({
  model: any(sanLock({ name, ...options })),
  short,
})
const brokenLock = (
  rules: SanLockRules,
  what: RegExp,
  options: Partial<SanLockOptions> = {},
  { short = true, caughtAs = 'violation' as Failure['kind'] } = {},
): Broken => ({
  model: any(
    sanLock({
      ...twoNodes,
      ...options,
      name: `SAN lock: ${Object.keys(rules)[0] ?? 'two of three, whichever'}`,
      rules,
    }),
  ),
  caughtAs,
  what,
  short,
})

const sanLockSuite: Suite = {
  name: 'SAN lock',
  sound: [
    lock('2 nodes, restarts', twoNodes),
    lock('2 nodes, writes fail', { ...twoNodes, rounds: 1, writeErrors: true }),
    lock('3 nodes', { ...twoNodes, nodes: 3, terms: 1, rounds: 1, lives: 1, restarts: 0 }),
    // the owner's lease is over, its late writes are not: they hurt the database, not the lock
    lock('2 nodes, the lease alone', { ...twoNodes, rounds: 1, rules: { leaseOnly: true } }),
    lock('3 partitions', threePartitions),
    lock(
      '3 nodes, sector by sector',
      { ...twoNodes, nodes: 3, terms: 1, rounds: 1, lives: 1, restarts: 0, tornReads: true },
      false,
    ),
    lock('3 partitions, one lost', { ...threePartitions, fault: 'lost' }, false),
    lock('3 partitions, one reset', { ...threePartitions, fault: 'reset', quorum: 'healthy' }, false),
    lock('3 partitions, restarts', { ...threePartitions, lives: 2, restarts: 1 }, false),
    lock('2 nodes, two restarts', { ...twoNodes, restarts: 2 }, false),
    lock('3 nodes, two terms', { ...twoNodes, nodes: 3, rounds: 1, lives: 1, restarts: 0 }, false),
  ],
  broken: [
    brokenLock({ skipReread: true }, /two live owners/),
    brokenLock({ forgetPromises: true }, /owned after/),
    brokenLock({ noWait: true }, /two live owners/),
    brokenLock({ overtake: true }, /two live owners/),
    brokenLock({ hastyRestart: true }, /two live owners/, { terms: 1 }),
    brokenLock({ decidedTermOnly: true }, /owned after/),
    brokenLock({ forgetRelease: true }, /owned after/),
    brokenLock({ readOne: true }, /two live owners/, threePartitions),
    brokenLock({}, /two live owners/, { ...threePartitions, fault: 'reset' }, { short: false }),
  ],
}

// ---- the election ----

const elect = { nodes: 2, partitions: 1, terms: 2, changes: 1, views: 0, failures: 1, refusals: 1 } as const

const vote = (name: string, options: Partial<ElectionOptions>, short = true): Bounded => ({
  model: any(election({ ...elect, ...options, name })),
  short,
})
const brokenVote = (
  rules: ElectionRules,
  what: RegExp,
  options: Partial<ElectionOptions> = {},
  caughtAs: Failure['kind'] = 'violation',
): Broken => ({
  model: any(election({ ...elect, ...options, name: `election: ${Object.keys(rules)[0]}`, rules })),
  caughtAs,
  what,
  short: true,
})

const electionSuite: Suite = {
  name: 'election',
  sound: [
    vote('3 nodes', { nodes: 3, terms: 3 }),
    vote('2 nodes, two changes of view', { views: 2 }),
    vote('3 nodes, a change of view', { nodes: 3, views: 1, refusals: 0 }),
    vote('3 partitions', { partitions: 3, terms: 3 }),
    vote('3 nodes, a change of view, refusals', { nodes: 3, views: 1 }, false),
    vote('3 partitions, two deaths', { nodes: 3, partitions: 3, terms: 3, failures: 2, refusals: 0 }, false),
  ],
  broken: [
    brokenVote({ noLock: true }, /without the lock/, { views: 1 }),
    brokenVote({ dropEarly: true }, /is read after/, { terms: 3, refusals: 2 }),
    brokenVote({ leaseOnly: true }, /is read after/, { terms: 3 }),
    brokenVote({ noTerm: true }, /of term 1 is read after one of term 2/, { partitions: 3, terms: 3 }),
    brokenVote({ oneCopy: true }, /is read after/),
    brokenVote({ storeOne: true }, /is read after/, { partitions: 3, terms: 3, refusals: 0, failures: 2 }),
    brokenVote({ announceEarly: true }, /has not committed/),
    brokenVote({ keepCandidate: true }, /no goal/, { views: 1 }, 'stuck'),
  ],
}

// ---- LUNs are added and removed ----

const change = { nodes: 2, requests: 2, failures: 2, restarts: 1 } as const

const lun = (name: string, options: Partial<LunChangeOptions>, short = true): Bounded => ({
  model: any(lunChange({ ...change, ...options, name })),
  short,
})
const brokenLun = (rules: LunChangeRules, what: RegExp): Broken => ({
  model: any(lunChange({ ...change, name: `LUN change: ${Object.keys(rules)[0]}`, rules })),
  caughtAs: 'violation',
  what,
  short: true,
})

const lunChangeSuite: Suite = {
  name: 'LUN change',
  sound: [
    lun('2 nodes, both die', {}),
    lun('3 nodes, two die', { nodes: 3 }),
    lun('3 nodes, three die', { nodes: 3, failures: 3 }, false),
    lun('3 nodes, two come back', { nodes: 3, restarts: 2 }, false),
    lun('2 nodes, three requests', { requests: 3, failures: 3, restarts: 2 }, false),
  ],
  broken: [
    brokenLun({ noFence: true }, /removed/),
    brokenLun({ ackBeforeDrained: true }, /removed/),
    brokenLun({ tellEarly: true }, /does not say/),
    brokenLun({ noAcks: true }, /lacks a LUN/),
    brokenLun({ dropPending: true }, /list is not/),
    brokenLun({ undoKeepsGeneration: true }, /two lists/),
    brokenLun({ undoInMemory: true }, /not on the disk/),
    brokenLun({ importDuring: true }, /lacks a LUN/),
    brokenLun({ lateWrite: true }, /list is not/),
  ],
}

export const suites = { sanLock: sanLockSuite, election: electionSuite, lunChange: lunChangeSuite }
