/**
 * Switches that break one safety rule each, for `npm run mutants`: a check that does not fail when the rule it stands for is broken
 * proves nothing about it. Only tests set them; product code reads each in the one place where its rule is kept.
 * The line at a switch says what goes wrong when it is on; docs/testing.md, what notices it.
 */
export const brokenRules = {
  // ── san: the right to use the LUNs ──

  /** A fenced node's gate lets I/O through. */
  gate: false,
  /** I/O is handed to the device although the lease is over, or a write so near its end that it may land after it. */
  leaseBeforeIo: false,
  /** I/O that completes after the end of the lease counts, although others may have written there meanwhile. */
  leaseAfterIo: false,
  /** A lease is counted from the completion of its renewal: a slow one makes its owner believe in it for longer than observers do. */
  leaseFromIssue: false,
  /** A renewal that completes after the end brings the lease back. */
  leaseNeverReturns: false,
  /** A host that stood still between the reads of a renewal and its write writes all the same, perhaps over its successor's claim. */
  deadlineBeforeRenewal: false,
  /** Whoever finds another process's claim in its own sector goes on. */
  takenSectorEndsLease: false,
  /** A node that finds a request to die goes on. */
  fenceRequestHeeded: false,
  /** Two that ask each other to die both ignore it. */
  higherSlotYields: false,
  /** The next life of a slot has the number of the one before: its frames, sectors and messages cannot be told apart. */
  incarnationGrows: false,
  /** A claim whose write was slow is trusted, although the write may have hidden another claim. */
  slowClaimStartsOver: false,
  /** A claim is read back at once: one that lands a moment later overwrites it unseen. */
  claimSettles: false,
  /** A record in state claiming, which may hide that of a living owner, is succeeded without watching it. */
  claimingIsWatched: false,
  /** A process is gone: what it had sent to a target counts as over, too. */
  orphansAreAwaited: false,
  /** A watch that has just begun takes what it finds for unchanged since ever. */
  watchKnowsNothing: false,
  /** A node is declared dead when its lease is over: its last write may still land. */
  lastWriteIsDead: false,
  /** A node that halts gives its lease back while I/O of it is under way. */
  drainedBeforeGivenBack: false,
  /** The kill agent vouches for a victim whose process it has not seen gone. */
  fencedIsCertain: false,
  /** A fence script is believed: nobody looks whether the lease of its victim is over. */
  scriptIsDoubted: false,
  /** One of three membership partitions decides. */
  majority: false,
  /** A write to a partition does not wait for the one before to the same place: the older may land last. */
  oneWritePerPlace: false,
  /** The membership database is replaced although another writer has done so since it was read. */
  generation: false,
  /** The newest copy of the membership database is the one that is overwritten. */
  copiesInTurn: false,
  /** The SAN locks are taken over from an owner that may live. */
  ownerSurelyDead: false,
  /** A try for the SAN locks decides for itself, although another owner was accepted before. */
  acceptedOwnerStays: false,
  /** A try for the SAN locks decides although another has promised a higher ballot meanwhile. */
  laterBallotWins: false,
  /** A device that shows the label of another LUN is used on. */
  foreignLunIsLeft: false,
  /** A LUN that hangs is probed again and again. */
  oneProbeAtATime: false,

  // ── cluster: agreed views ──

  /** A message of an earlier view is delivered in this one. */
  oldViewDropped: false,
  /** A message of a view that is not installed here yet is delivered at once. */
  newViewWaits: false,
  /** Messages are delivered between the end of a view and the next. */
  blockedBetweenViews: false,
  /** A member promises a number at or below one it has promised. */
  promisesGrow: false,
  /** While a promise to a living proposer stands, another proposer gets one. */
  promiseStands: false,
  /** A life that a view left out is in a later one as if nothing had happened. */
  leftOutStaysOut: false,
  /** A view is installed before all its members have promised it. */
  allPromise: false,
  /** A view goes on after a connection in it was lost, and messages with it. */
  lossEndsView: false,
  /** A node that a later view left out does not restart. */
  leftOutIsExpelled: false,

  // ── locking ──

  /** The master grants what conflicts with a holder. */
  compatibleGrants: false,
  /** A request overtakes conversions and those who wait. */
  inTurn: false,
  /** A surrender replaces the lock value block: what an earlier one brought is forgotten. */
  lvbMerged: false,
  /** The lock value block of a resource that the master forgets is lost. */
  forgottenRaiseFloor: false,
  /** Holders in the way are not told. */
  holdersTold: false,
  /** A new master grants before every member has reported what it holds. */
  allReport: false,
  /** Vectors of surrenders that were on their way when the view changed are lost. */
  surrenderedReported: false,
  /** The master grants while the view changes. */
  frozenGrantsNothing: false,
  /** Locks that a node outside the view may still hold are given away before it is fenced. */
  absentHoldersCount: false,
  /** What a member had not reported yet when the view changed again is forgotten. */
  silentHoldersCount: false,
  /** Resources whose master left the view are granted before all have reported to the new one. */
  closedStaysClosed: false,
  /** Masters go on granting although a member does not know the epoch whose tables they go by. */
  lastCompleteAgreed: false,
  /** Lock value blocks that a master keeps miss what lost surrenders should have brought. */
  keptVectorsRise: false,
  /** A member joins the full rebuild of a peer by itself, without the floor. */
  fullRebuildNeedsFloor: false,
  /** A lock is surrendered under its users. */
  usersFinish: false,
  /** Shared locks are not reported to the new master. */
  heldIsReported: false,
  /** A lock is used before the image has caught up with what was done under it. */
  caughtUpBeforeUse: false,
  /** Cached locks are used after the node's lease is over. */
  noUseAfterLease: false,

  // ── metadata: journals, checkpoints, caches, space ──

  /** Frames of an older incarnation beyond its seal count. */
  seal: false,
  /** A frame is applied without waiting for its dependencies. */
  deps: false,
  /** A checkpoint is published while its own last frame is still under way. */
  checkpointDurable: false,
  /** After loading a checkpoint a lapped reader goes on at once, although it had applied more before. */
  reloadCatchesUp: false,
  /** A lapped reader goes on with the oldest frame still there. */
  lappedReader: false,
  /** An exclusive lock is given up before the journal is durable up to the last change under it. */
  flushOnSurrender: false,
  /** A lock is given up without saying what its next holder must have applied. */
  lvb: false,
  /** Directories are changed under a shared lock. */
  rowHasOneLock: false,
  /** What is cached under a lock outlives it. */
  cacheGoesWithLock: false,
  /** A lock is given up with dirty data under it. */
  dirtyDataGoesFirst: false,
  /** An extent is mapped before its data is on stable storage. */
  dataBeforeExtent: false,
  /** Freed space is used again before the transaction that freed it is durable. */
  freedIsDurable: false,
  /** An allocation group is given up while runs taken from it are being written. */
  groupAtRest: false,
  /** A change is answered as stable before its frame is durable. */
  answeredIsDurable: false,
  /** Journal is overwritten that only one checkpoint holds. */
  trimBySecond: false,
  /** Vectors name frames of this node that are not durable yet. */
  onlyDurableNamed: false,
  /** A node goes on after a journal write that failed, and may or may not have landed. */
  failedWriteWithdraws: false,
  /** A checkpoint overwrites the newest of its own area. */
  halvesAlternate: false,
  /** The checkpoint before the newest gives way although the newest has not been found whole. */
  newestReadBack: false,
  /** A checkpoint's manifest is written before its image is on stable storage. */
  imageBeforeManifest: false,
  /** A frame counts whatever its checksum. */
  frameChecksum: false,
  /** A damaged frame in the middle of a journal passes for its end. */
  damageIsNoEnd: false,
  /** Nobody looks for the last frame of a dead node where the device may have put it instead. */
  straysAreLookedFor: false,
  /** The last frame of a peer is applied before it is known durable. */
  tailIsDurable: false,
  /** What is found of a dead node's journal is applied before it is on stable storage. */
  foundIsDurable: false,
  /** New data goes to a LUN that is being drained. */
  drainingIsNotFilled: false,
  /** A LUN is given up although what has emptied it may be lost with a node. */
  emptiedIsDurable: false,
  /** A LUN is given up by a filesystem that has something there. */
  emptiedBeforeVacated: false,
  /** Space of a new LUN is added again by whoever looks. */
  spaceAddedOnce: false,
  /** An inode that is open at another node is deleted. */
  openStays: false,
  /** A request that was done at another node is done again. */
  doneIsLookedUp: false,
  /** That a request is done is journaled after its change: a crash in between, and it is done again. */
  doneWithItsChange: false,
  /** A block that is written and cleaned while a slow read of the LUN is under way is evicted: the read brings its old content back. */
  loadedStays: false,
  /** A verb that had to wait answers with inodes as they are when its caller looks: others may have changed them since. */
  answerOfItsTurn: false,
  /** The byte-range locks of an inode are remembered after its lock L has gone, when others may have changed them. */
  tableGoesWithLock: false,
  /** A client is told that it has a byte-range lock, or has none, before that is durable. */
  rangeAnswerIsDurable: false,
  /** A request takes the bytes that somebody who has waited longer is about to take. */
  promisedIsKept: false,
  /** What looks like a circle of waiters in an image that is a little late is told to be a deadlock. */
  deadlockIsConfirmed: false,
  /** Locks and waiters of a node that has left the view count for nothing before it is fenced. */
  goneIsFenced: false,
  /** What ended with a node that is gone stays in everybody's way. */
  goneIsVoid: false,
  /** A file takes another's place before its own content is on the LUNs. */
  contentBeforeReplace: false,
  /** Two directories move at the same time, and may end up below each other. */
  oneRenameAtATime: false,
  /** WebDAV locks on the directories above are looked for without holding these: one that another node has just made is missed. */
  locksAboveAreHeld: false,
  /** Whoever has to see all WebDAV locks below a directory does not wait for those that other nodes are just adding. */
  locksBelowAreSeen: false,

  // ── fencing at the storage ──

  /** A node that meets a reservation conflict registers again and goes on. */
  conflictIsTheEnd: false,
  /** A LUN is passed over when a victim is preempted. */
  preemptedEverywhere: false,
  /** A preemption is believed: nobody reads the registrations back. */
  preemptionVerified: false,
  /** A LUN at which a node registers late is used although its earlier registrations are gone. */
  earlierRegistrationsStand: false,

  // ── recovery ──

  /** The coordinator looks for strangers before the members have said on the disk that they are active. */
  activateBeforeScan: false,
  /** Locks of nodes outside the view are given away without fencing them. */
  fenceBeforeRecovery: false,
  /** A dead incarnation is sealed again. */
  sealedOnce: false,
  /** A node whose mount ends by a failed LUN halts, with all its other filesystems: so do all nodes, one after another. */
  lunFailureIsJudged: false,
  /** A life on its way into a view is sealed as if it had written: its frames will not count. */
  newcomerIsUnsealed: false,
  /** After a change of view the locks start without the floor of all journals' ends. */
  floor: false,
  /** A member publishes a checkpoint by itself while another publishes one for the administrator. */
  checkpointsAreHeld: false,
  /** Locks are granted before the journals of the dead have been applied. */
  journalsReadFirst: false,

  // ── LUNs are added and removed ──

  /** A new administrator drops the change of LUNs that it finds pending, although members have made it. */
  pendingFinished: false,
  /** A view resumes while a change of LUNs from before is pending. */
  pendingBeforeResume: false,
  /** The new list of LUNs is written before every member has acknowledged the change. */
  allAcknowledge: false,
  /** A removal is acknowledged while I/O to the LUN is under way. */
  drainedBeforeRemoved: false,
  /** An add that was refused is taken back without saying so on the disk first. */
  undoIsDurable: false,

  // ── services: addresses that move between nodes ──

  /** The administrator places virtual hosts as soon as there is a view: whoever is outside of it is not fenced yet. */
  placedAfterFence: false,
  /** A virtual host is given to a node before all members have said what they bear. */
  bearersAreKnown: false,
  /** A virtual host is given to another node before its bearer has confirmed that it gave it up. */
  releasedFirst: false,
  /** A node that halts gives its lease back while it may still bear addresses. */
  addressesGoBeforeLease: false,
  /** The life of an address is not bounded by the lease of its node: one that stands still keeps it. */
  addressDiesWithLease: false,

  // ── gateway-nfs: locks of NFS clients ──

  /** A lock that its client refuses is freed, although an earlier call back may have arrived: its owner may believe to have it. */
  doubtKeepsLock: false,
  /** A client's restart that is told late frees the locks that its new life has taken at another node. */
  oldNewsFreesNothing: false,
  /** A client's first lock is answered before it is in the record of those that have locks. */
  holderIsKnown: false,
  /** A call that comes again is done again: a late copy of an UNLOCK frees what was locked since. */
  doneOnce: false,
}

export type BrokenRule = keyof typeof brokenRules
