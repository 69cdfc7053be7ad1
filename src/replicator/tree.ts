import type { FileSystem } from '@zenfs/core'

/** What the replicator needs of a filesystem beyond what @zenfs/core has. Paths begin with "/", which is the tree's own directory; links are never followed. */
export interface Tree extends FileSystem {
  symlink(target: string, path: string): Promise<void>
  /** What was written to the file, or the names in the directory, are on stable storage; left out where an answer means that already. */
  flush?(path: string): Promise<void>
  close(): Promise<void>
}
