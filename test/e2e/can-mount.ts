import { accessSync, constants } from 'node:fs'

/** The local mount needs root and FUSE. */
export function canMount(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
    return process.getuid?.() === 0
  } catch {
    return false
  }
}
