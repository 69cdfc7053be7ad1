/**
 * What notices each broken rule (src/base/broken-rules.ts): a named test of one file, or a simulation from some seed on. The cheapest that
 * does; many rules are noticed by several. `seeds` is how far to look: a seed that notices today may not after the next change.
 */
import type { BrokenRule } from '../../src/base/broken-rules.ts'

export type Probe =
  /** Tests of `file` whose name contains `name`. */
  | { readonly by: 'test'; readonly file: string; readonly name: string }
  /** Random histories of volumes on one disk (test/sim/volume.test.ts), or whole matrices (test/sim/run.ts). */
  | { readonly by: 'volumes' | 'matrices'; readonly first: number; readonly seeds: number }

function test(file: string, name: string): Probe {
  return { by: 'test', file: `test/${file}.test.ts`, name }
}
function volumes(first: number, seeds: number): Probe {
  return { by: 'volumes', first, seeds }
}
function matrices(first: number, seeds: number): Probe {
  return { by: 'matrices', first, seeds }
}

/** Forty matrices of lock spaces alone, with crashes and rejoins. */
const lockMatrices = test('sim/locking', 'matrices with crashes and rejoins stay coherent')

/** In the order in which they are run: what is quick comes first. */
export const probes: Readonly<Record<BrokenRule, Probe>> = {
  gate: test('unit/san/psd', 'once fenced nothing passes'),
  leaseBeforeIo: test('unit/san/psd', 'a write needs more than the guard'),
  leaseAfterIo: test('unit/san/psd', 'what completes after the end of the lease does not count'),
  oldViewDropped: test('unit/cluster/message-service', 'delivered in its own view only'),
  newViewWaits: test('unit/cluster/message-service', 'delivered in its own view only'),
  blockedBetweenViews: test('unit/cluster/message-service', 'when the view ends, whoever waits is told'),
  promisesGrow: test('unit/cluster/membership', 'a number once promised is never promised again'),
  promiseStands: test('unit/cluster/membership', 'while the first proposer lives, a second is refused'),
  leftOutStaysOut: test('unit/cluster/membership', 'a life that our view left out is not taken in again'),
  allPromise: test('unit/cluster/membership', 'commits when all have accepted'),
  lossEndsView: test('unit/cluster/membership', 'the same lives, but a new view'),
  leftOutIsExpelled: test('unit/cluster/membership', 'left out by a later view of the others'),
  compatibleGrants: lockMatrices,
  inTurn: test('scenario/lock-master', 'first come first served'),
  lvbMerged: test('scenario/lock-master', 'convert deadlock pr to ex'),
  forgottenRaiseFloor: test('scenario/lock-master', 'forgotten resources raise the floor'),
  holdersTold: lockMatrices,
  allReport: lockMatrices,
  surrenderedReported: test('unit/locking/rebuild', 'a DOWN that is lost'),
  frozenGrantsNothing: test('unit/locking/rebuild', 'nothing is granted between freeze and the last report'),
  absentHoldersCount: lockMatrices,
  silentHoldersCount: lockMatrices,
  closedStaysClosed: lockMatrices,
  lastCompleteAgreed: lockMatrices,
  keptVectorsRise: test('unit/locking/reopen', 'vectors of surrenders that were lost'),
  fullRebuildNeedsFloor: test('unit/locking/reopen', 'joins the full rebuild of a peer with its own floor'),
  usersFinish: lockMatrices,
  heldIsReported: lockMatrices,
  caughtUpBeforeUse: lockMatrices,
  noUseAfterLease: test('unit/locking/lock-cache', 'nothing is usable once the lease is over'),
  generation: test('unit/san/membership-store', 'a change to an outdated generation is refused'),
  copiesInTurn: test('unit/san/membership-store', 'the old or the new database is there'),
  sealedOnce: test('unit/recovery/recovery', 'what is sealed is not sealed again'),
  newcomerIsUnsealed: test('unit/recovery/recovery', 'a life on its way into a view is never sealed'),
  frameChecksum: test('unit/metadata/formats', 'no changed bit of a frame goes unnoticed'),
  straysAreLookedFor: test('unit/metadata/strays', 'the last frame of a dead node lies elsewhere: it is brought home'),
  damageIsNoEnd: test('unit/metadata/volume', 'an invalid frame followed by a valid later one is damage'),
  tailIsDurable: test('unit/metadata/volume', 'the tail applies only what another frame follows'),
  foundIsDurable: test('unit/metadata/volume', 'is on stable storage before anything here depends on it'),
  failedWriteWithdraws: test('unit/metadata/volume', 'a failed journal write withdraws'),
  leaseFromIssue: test('unit/san/disk-lease', 'a lease ends leaseMs after its last renewal was issued'),
  leaseNeverReturns: test('unit/san/disk-lease', 'does not bring the lease back'),
  deadlineBeforeRenewal: test('unit/san/disk-lease', 'between the reads of a renewal and its write'),
  takenSectorEndsLease: test('unit/san/disk-lease', 'a lease sector that was taken over ends the lease'),
  incarnationGrows: test('unit/san/disk-lease', 'incarnations only grow'),
  slowClaimStartsOver: test('unit/san/disk-lease', 'a claim whose write is slow hides another'),
  claimSettles: test('unit/san/disk-lease', 'a claim whose write is slow hides another'),
  orphansAreAwaited: test('unit/san/disk-lease', 'nothing that its former process had sent to a target'),
  claimingIsWatched: test('unit/san/disk-lease', 'a claim that was never settled may hide'),
  fenceRequestHeeded: test('unit/san/fence', 'the living victim finds the request'),
  higherSlotYields: test('unit/san/fence', 'exactly one lives, whoever asked first'),
  watchKnowsNothing: test('unit/san/fence', 'a watch that has just begun'),
  lastWriteIsDead: test('unit/san/fence', 'the observer inequality'),
  fencedIsCertain: test('unit/san/fence', 'agent kill'),
  drainedBeforeGivenBack: test('sim/halt', 'while a write of it is under way'),
  scriptIsDoubted: test('unit/san/script-agent', 'a script that has done nothing'),
  conflictIsTheEnd: test('sim/scsi-pr', 'a node whose registrations are gone ends'),
  preemptedEverywhere: test('unit/san/scsi-pr-agent', 'at every LUN'),
  preemptionVerified: test('unit/san/scsi-pr-agent', 'answered and not done'),
  earlierRegistrationsStand: test('unit/san/registration', 'late registration'),
  foreignLunIsLeft: test('unit/san/disk-probe', 'shows the label of another LUN is left at once'),
  oneProbeAtATime: test('unit/san/disk-probe', 'is not asked again'),
  majority: test('unit/san/partitions', 'without two partitions the lease ends'),
  oneWritePerPlace: test('unit/san/partitions', 'is never followed there by another one'),
  ownerSurelyDead: test('unit/san/san-lock', 'random lives on 1 partition'),
  acceptedOwnerStays: test('unit/san/san-lock', 'random lives on 1 partition'),
  laterBallotWins: test('unit/san/san-lock', 'random lives on 1 partition'),
  answeredIsDurable: volumes(1, 60),
  deps: volumes(1, 60),
  seal: volumes(1, 60),
  checkpointDurable: volumes(1, 60),
  halvesAlternate: test('unit/metadata/checkpoint-rules', 'with the older one damaged'),
  imageBeforeManifest: volumes(1, 60),
  lappedReader: volumes(1, 60),
  reloadCatchesUp: volumes(1, 60),
  trimBySecond: test('unit/metadata/checkpoint-rules', 'journal that only the newest checkpoint holds stays'),
  newestReadBack: test('unit/metadata/checkpoint-rules', 'with the newest one damaged'),
  cacheGoesWithLock: test('unit/metadata/coherent-io', 'random writes, truncations and reads'),
  dirtyDataGoesFirst: test('unit/metadata/coherent-io', 'goes from node to node clean'),
  answerOfItsTurn: test(
    'unit/metadata/answers',
    'two verbs that go on in one turn: the answer of the first knows nothing of the second',
  ),
  spaceAddedOnce: test('unit/metadata/growth', 'a full filesystem gets another LUN'),
  drainingIsNotFilled: test('unit/metadata/drain', 'nothing new gets to a LUN that is being drained'),
  emptiedIsDurable: test('unit/metadata/drain', 'is empty only once that is durable'),
  emptiedBeforeVacated: test('unit/metadata/drain', 'moved elsewhere, whatever goes on meanwhile'),
  tableGoesWithLock: test('unit/metadata/ranges', 'several nodes do what one does by itself'),
  rangeAnswerIsDurable: test('unit/metadata/ranges', 'a lock that was answered is durable'),
  promisedIsKept: test('unit/locking/range-table', 'a promise keeps its range free'),
  deadlockIsConfirmed: test('unit/metadata/ranges', 'what looks like a circle in a late image is none'),
  goneIsVoid: test('unit/metadata/ranges', 'what ends with a node that is gone'),
  goneIsFenced: test('sim/ranges', 'in the way until it is fenced'),
  openStays: test('unit/metadata/ordering', 'a file that is open at one node stays'),
  oneRenameAtATime: test('unit/metadata/ordering', 'two directories that move below each other'),
  doubtKeepsLock: test('conformance/nfs3/locks', 'NLM8 '),
  oldNewsFreesNothing: test('conformance/nfs3/locks-across', 'NLMX4 '),
  holderIsKnown: test('conformance/nfs3/locks', 'NSM2 '),
  doneOnce: test('conformance/nfs3/locks', 'NLM12 '),
  dataBeforeExtent: test('unit/metadata/ordering', 'an extent is journaled only after its data'),
  freedIsDurable: test('unit/metadata/ordering', 'freed blocks are written to only after'),
  groupAtRest: test('unit/metadata/ordering', 'an allocation group goes to another node only when'),
  rowHasOneLock: test('unit/metadata/concurrent-fs', 'seed 1:'),
  flushOnSurrender: test('unit/metadata/posix-fs', 'rename: over nothing, within and across'),
  lvb: test('unit/metadata/coherent-io', 'a write answered at one node is read at every other'),
  floor: test('unit/recovery/recovery', 'a run fences whoever is active outside the view'),
  onlyDurableNamed: test('unit/metadata/volume', 'names no frame that is still under way'),
  activateBeforeScan: test('unit/recovery/recovery', 'a run fences whoever is active outside the view'),
  checkpointsAreHeld: test('sim/unreadable', 'while the administrator has a checkpoint made'),
  fenceBeforeRecovery: test('unit/recovery/recovery', 'a run fences whoever is active outside the view'),
  pendingBeforeResume: test('unit/recovery/recovery', 'a run fences whoever is active outside the view'),
  pendingFinished: test('unit/recovery/lun-change', 'what is pending is finished by the next administrator'),
  allAcknowledge: test('unit/recovery/lun-change', 'only once all have acknowledged'),
  undoIsDurable: test('unit/recovery/lun-change', 'an add that is refused'),
  drainedBeforeRemoved: test('unit/san/lun-table', 'a removal waits'),
  journalsReadFirst: matrices(1, 10),
}
