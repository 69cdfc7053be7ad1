/** Files and processes of the host, handed in: what LUN drivers and fence agents need of the operating system. */
import type { BlockDevices } from './block-devices.ts'

/** A file or device opened for random access. Offsets and lengths in bytes. */
export interface RandomAccessFile {
  /** When it was opened, or last measured. */
  readonly size: number
  measure(): Promise<number>
  /** Fills `buffer` from `offset`; rejects when fewer bytes are there. */
  read(offset: number, buffer: Buffer): Promise<void>
  /** Writes all of `buffers` one after another from `offset`. */
  write(offset: number, buffers: readonly Uint8Array[]): Promise<void>
  /** Everything written before is on stable storage when this resolves (fdatasync). */
  flush(): Promise<void>
  close(): Promise<void>
}

export interface Files extends BlockDevices {
  /** Rejects with MatrixError 'not-found' or 'lun-io'. */
  open(path: string): Promise<RandomAccessFile>
}

/** A process on this host, unmistakably: pids are used again, a start time with its boot is not. */
export type ProcessIdentity = {
  /** Random id of the running boot of the host (Linux: /proc/sys/kernel/random/boot_id). */
  readonly bootId: string
  readonly pid: number
  /** Clock ticks since boot (Linux: field 22 of /proc/PID/stat). */
  readonly startTime: number
}

export interface Processes {
  self(): ProcessIdentity
  /** 'gone': surely not running any more; 'running'; 'elsewhere': of another host, nothing is known. */
  state(identity: ProcessIdentity): 'gone' | 'running' | 'elsewhere'
  /** SIGKILL to exactly that process; resolves once it is gone (not a zombie with open files). */
  kill(identity: ProcessIdentity): Promise<void>
}
