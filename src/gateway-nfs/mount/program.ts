/**
 * MOUNT version 3: from a path to the handle that a client starts with. A path may lead to any directory below an export's
 * root; it is walked as root, without following symbolic links, as a mount daemon would: what the client then does there is
 * checked request by request.
 */
import { type FsErrorCode, isFsError } from '../../base/errors.ts'
import { KiB } from '../../base/units.ts'
import { directoryBelow, type Export, encodeHandle, handleBytes, match } from '../../export/index.ts'
import type { Inode } from '../../metadata/index.ts'
import type { CallHeader } from '../rpc/message.ts'
import { SMALL_REPLY_BYTES } from '../rpc/reply-writer.ts'
import type { Program, Session } from '../rpc/session.ts'
import type { XdrReader } from '../xdr/reader.ts'
import { nothing, type Xdr } from '../xdr/types.ts'
import { MountList } from './mount-list.ts'
import * as m from './tables.ts'

const AUTH_NONE = 0
const AUTH_SYS = 1
/** Room for a list: MOUNTS_MAX of the longest, and more exports than anyone configures. */
const LIST_BYTES = 512 * KiB

const mountStatus: Partial<Record<FsErrorCode, number>> = {
  ENOENT: m.MNT3ERR_NOENT,
  EACCES: m.MNT3ERR_ACCES,
  ENOTDIR: m.MNT3ERR_NOTDIR,
  EINVAL: m.MNT3ERR_INVAL,
  ENAMETOOLONG: m.MNT3ERR_NAMETOOLONG,
  EIO: m.MNT3ERR_IO,
}

export class MountProgram implements Program {
  readonly name = 'mount'
  readonly number = m.MOUNT_PROGRAM
  readonly version = m.MOUNT_V3
  readonly procedures = Object.keys(m.mountProcedures).length
  readonly #mounts = new MountList()

  serve(session: Session, { xid, procedure }: CallHeader, from: XdrReader): void {
    const { MNT, DUMP, UMNT, UMNTALL, EXPORT } = m.mountProcedures
    const host = session.client.address
    switch (procedure) {
      case MNT.number:
        this.#mount(session, xid, MNT.args.decode(from))
        break
      case DUMP.number:
        put(session, xid, DUMP.result, this.#mounts.list(session.client.exports), LIST_BYTES)
        break
      case UMNT.number:
        this.#mounts.remove({ host, path: UMNT.args.decode(from) })
        put(session, xid, nothing, undefined)
        break
      case UMNTALL.number:
        this.#mounts.removeAll(host)
        put(session, xid, nothing, undefined)
        break
      case EXPORT.number:
        put(session, xid, EXPORT.result, exportList(session.client.exports), LIST_BYTES)
        break
      default:
        put(session, xid, nothing, undefined)
    }
  }

  #mount(session: Session, xid: number, path: string): void {
    const { MNT } = m.mountProcedures
    const found = match(session.client.exports, path, session.client)
    if (found.kind !== 'granted') {
      const status = found.kind === 'refused' ? m.MNT3ERR_ACCES : m.MNT3ERR_NOENT
      put(session, xid, MNT.result, { status, failed: {} })
      return
    }
    session.begun()
    directoryBelow(found.exported, found.below)
      .then(
        (inode) => {
          const flavors = [AUTH_SYS, AUTH_NONE]
          put(session, xid, MNT.result, { status: 0, ok: { object: handleOf(found.exported, inode), flavors } })
          this.#mounts.add({ host: session.client.address, path })
        },
        (error) => {
          const status = (isFsError(error) && mountStatus[error.code]) || m.MNT3ERR_SERVERFAULT
          if (status === m.MNT3ERR_SERVERFAULT) session.report('MNT', error)
          put(session, xid, MNT.result, { status, failed: {} })
        },
      )
      .then(() => session.finished())
  }
}

function handleOf(exported: Export, { ino, generation }: Inode): Buffer {
  const { id, fs, key } = exported
  const bytes = Buffer.alloc(handleBytes(exported))
  encodeHandle(new DataView(bytes.buffer, bytes.byteOffset), 0, fs.fsid, id, ino, generation, key)
  return bytes
}

function exportList(exports: readonly Export[]) {
  return exports.map(({ path, clients }) => ({
    path: Buffer.from(path, 'utf8').toString('latin1'),
    groups: clients.includes('*') ? [] : clients, // no groups: everybody
  }))
}

function put<T>(session: Session, xid: number, type: Xdr<T>, value: T, resultBytes = SMALL_REPLY_BYTES): void {
  const out = session.replies
  const start = out.begin(xid, resultBytes)
  type.encode(out, value)
  out.end(start)
}
