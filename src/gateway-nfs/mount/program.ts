/**
 * MOUNT version 3: from a path to the handle that a client starts with. A path may lead to any directory below an export's
 * root; it is walked as root, without following symbolic links, as a mount daemon would: what the client then does there is
 * checked request by request.
 */
import { FsError, type FsErrorCode, isFsError } from '../../base/errors.ts'
import { ROOT_INO } from '../../base/ids.ts'
import type { MaybePromise } from '../../base/maybe-promise.ts'
import { KiB } from '../../base/units.ts'
import { type Export, encodeHandle, HANDLE_BYTES, match } from '../../export/index.ts'
import { type Caller, DIR, type Inode } from '../../metadata/index.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Session } from '../rpc/session.ts'
import { TableProgram } from '../rpc/table-program.ts'
import { MountList } from './mount-list.ts'
import * as m from './tables.ts'

const AUTH_NONE = 0
const AUTH_SYS = 1
/** Room for a list: MOUNTS_MAX of the longest, and thousands of clients of exports. */
const LIST_BYTES = 512 * KiB
/** "One more follows", the length, padding, and the end of a list within. */
const LIST_ITEM_BYTES = 16
const ROOT: Caller = { uid: 0, gid: 0, gids: [] }

const mountStatus: Partial<Record<FsErrorCode, number>> = {
  ENOENT: m.MNT3ERR_NOENT,
  EACCES: m.MNT3ERR_ACCES,
  ENOTDIR: m.MNT3ERR_NOTDIR,
  EINVAL: m.MNT3ERR_INVAL,
  ENAMETOOLONG: m.MNT3ERR_NAMETOOLONG,
  EIO: m.MNT3ERR_IO,
}

export function mountProgram(clock: Clock): TableProgram<typeof m.mountProcedures> {
  const mounts = new MountList()
  return new TableProgram({
    ...{ name: 'mount', number: m.MOUNT_PROGRAM, version: m.MOUNT_V3, clock },
    table: m.mountProcedures,
    handlers: {
      NULL: () => {},
      MNT: (path, { session }) => mount(mounts, session, path),
      DUMP: () => mounts.list(),
      UMNT: (path, { session }) => mounts.remove({ host: session.client.address, path }),
      UMNTALL: (_, { session }) => mounts.removeAll(session.client.address),
      EXPORT: (_, { session }) => exportList(session.client.exports),
    },
    resultBytes: { DUMP: LIST_BYTES, EXPORT: LIST_BYTES },
  })
}

function mount(mounts: MountList, session: Session, path: string): MaybePromise<m.MountResult> {
  const { address, bytes, exports } = session.client
  const found = match(exports, path, bytes)
  if (found.kind !== 'granted')
    return { status: found.kind === 'refused' ? m.MNT3ERR_ACCES : m.MNT3ERR_NOENT, failed: {} }
  return directoryOf(found.exported, found.below).then(
    (inode) => {
      mounts.add({ host: address, path })
      return { status: 0, ok: { object: handleOf(found.exported, inode), flavors: [AUTH_SYS, AUTH_NONE] } }
    },
    (error) => {
      const status = (isFsError(error) && mountStatus[error.code]) || m.MNT3ERR_SERVERFAULT
      if (status === m.MNT3ERR_SERVERFAULT) session.report('MNT', error)
      return { status, failed: {} }
    },
  )
}

/** Walks from the export's root. Rejects with FsError, ENOTDIR for what is no directory. */
async function directoryOf({ fs }: Export, below: readonly string[]): Promise<Inode> {
  let inode = await fs.getattr(ROOT_INO)
  for (const name of below) {
    if (name === '..') throw new FsError('EINVAL') // no way up: an export ends at its root
    inode = (await fs.lookup(ROOT, inode.ino, name)).inode
  }
  if (inode.type !== DIR) throw new FsError('ENOTDIR')
  return inode
}

function handleOf({ id, fs }: Export, inode: Inode): Buffer {
  const bytes = Buffer.alloc(HANDLE_BYTES)
  encodeHandle(new DataView(bytes.buffer, bytes.byteOffset), 0, fs.fsid, id, inode.ino, inode.generation)
  return bytes
}

/** All exports, or as many as there is room for. */
function exportList(exports: readonly Export[]) {
  let room = LIST_BYTES - LIST_ITEM_BYTES
  const item = (text: string): string => {
    room -= LIST_ITEM_BYTES + text.length
    return text
  }
  const list = exports.map(({ path, clients }) => ({
    path: item(Buffer.from(path, 'utf8').toString('latin1')),
    groups: clients.includes('*') ? [] : clients.map(item).filter(() => room > 0), // no groups: everybody
    fits: room > 0,
  }))
  return list.filter(({ fits }) => fits)
}
