/** The engines of a node that jobs drive, as it hands them in. */
import type { LunRecord } from '../../san/index.ts'

/** How the `matrix` command has ended. */
export type MatrixRun = { readonly code: number | null; readonly output: string; readonly said: string }

export type JobMeans = {
  readonly luns: {
    /** Rejects as `LunMembers.ask`. */
    remove(uuid: string): Promise<void>
    /** Gives how many bytes are free by it. */
    growLun(uuid: string): Promise<number>
    growFilesystem(fsid: number, uuid: string): Promise<number>
    drain(uuid: string, limitMs: number): Promise<{ readonly leftBytes: number; readonly done: boolean }>
    restore(filesystem: string): Promise<void>
    list(): Promise<readonly LunRecord[]>
  }
  readonly fence: {
    plan(node: string): Promise<{ readonly slot: number; readonly incarnation: number }>
    /** Only that life of it. Rejects with 'not-found' when that is over. */
    run(node: string, incarnation: number): Promise<{ readonly agent: string; readonly ms: number }>
  }
  /** Undefined where none is configured. */
  readonly virtualHosts:
    | {
        look(): Promise<
          readonly {
            readonly name: string
            readonly node: string | undefined
            readonly nodes: readonly { readonly name: string; readonly state: string }[]
          }[]
        >
        move(name: string, node: string): Promise<void>
      }
    | undefined
  readonly mounts: {
    readonly list: readonly { readonly directory: string; readonly filesystem: string }[]
    /** Rejects with 'in-use' while somebody uses it. */
    unmount(directory: string, lazy: boolean): Promise<void>
  }
  /** LUNs that are open here, and whose label has damaged copies: which. */
  labels(): Promise<readonly { readonly lun: string; readonly copies: readonly string[] }[]>
  /** Runs `matrix` on this machine, against this node, in a process of its own that gives way to others. Resolves once it has ended; an abort ends it. `onSaid` is told the lines of its standard error as they come. */
  matrix(
    args: readonly string[],
    options: { readonly signal?: AbortSignal; readonly onSaid?: (line: string) => void },
  ): Promise<MatrixRun>
}
