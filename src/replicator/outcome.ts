/** What a run has done, and what it could not do. */
export type Trouble = { readonly path: string; readonly why: string }

export class Outcome {
  /** Objects of the source that were looked at. */
  looked = 0
  /** Files whose content was copied, new or changed; and what was read for it, bytes. */
  copied = 0
  bytes = 0
  /** Directories, symbolic links, pipes, and further names of files that were made. */
  made = 0
  /** Only the attributes differed. */
  adjusted = 0
  unchanged = 0
  /** Objects removed from the target. */
  pruned = 0
  /** By the configuration, or because the target cannot have such a thing. */
  skipped = 0
  /** The first of these, and how many there were. */
  readonly troubles: Trouble[] = []
  failed = 0

  /** Told of, and counted. */
  static readonly TROUBLES_MAX = 100

  fail(path: string, why: string): void {
    this.failed++
    if (this.troubles.length < Outcome.TROUBLES_MAX) this.troubles.push({ path, why })
  }
}
