/**
 * Switches that break one rule of the design each. Only tests set them: a simulation that does not fail when a rule is
 * broken proves nothing about the rule. Product code reads them in the one place where the rule is kept.
 */
export const brokenRules = {
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
  /** After a change of view the locks start without the floor of all journals' ends. */
  floor: false,
}

export type BrokenRule = keyof typeof brokenRules
