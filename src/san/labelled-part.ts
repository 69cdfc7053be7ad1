/** A LUN as its label says: a device that has grown since is used as far as before, by nodes and tools alike. */
import type { Label } from './label.ts'
import type { Lun } from './lun.ts'

export function labelledPart({ label, lun }: { readonly label: Pick<Label, 'size'>; readonly lun: Lun }): Lun {
  return {
    identity: lun.identity,
    size: label.size,
    read: (offset, buffer) => lun.read(offset, buffer),
    write: (offset, buffers, options) => lun.write(offset, buffers, options),
    flush: () => lun.flush(),
    discard: lun.discard?.bind(lun),
    close: () => lun.close(),
  }
}
