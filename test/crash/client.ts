/** Does the operations of a sequence at a real filesystem, by path, as a gateway would. */
import { ROOT_INO } from '../../src/base/ids.ts'
import { type AttributeChanges, CHR, FIFO, type MatrixFs, type RequestId } from '../../src/metadata/index.ts'
import { ROOT } from '../sim/calls.ts'
import { CHMOD_MODE, CHOWN, CREATE_MODE, DEVICE, MKDIR_MODE, UTIMES } from './model.ts'
import type { Operation } from './operation.ts'

/** By what the client of a sequence may ask again for its operation of this number. */
export function requestOf(step: number): RequestId {
  return { client: 9, xid: step, check: step * 1_000_003 }
}

/** Operations of files and names; `bytes` are those of a write. Resolves with the verb's answer: it has happened, and may be volatile. */
export async function perform(fs: MatrixFs, operation: Operation, bytes: Buffer, request?: RequestId): Promise<void> {
  switch (operation.op) {
    case 'create':
    case 'recreate':
    case 'mkdir':
    case 'fifo':
    case 'device':
    case 'symlink':
      return make(fs, operation, request)
    case 'unlink':
    case 'unlink-open':
    case 'rmdir': {
      const { dir, name } = await place(fs, operation.path)
      if (operation.op === 'rmdir') return void (await fs.rmdir(ROOT, dir, name, request))
      if (operation.op === 'unlink-open') await fs.open(await find(fs, operation.path))
      return void (await fs.remove(ROOT, dir, name, request))
    }
    case 'link': {
      const ino = await find(fs, operation.path)
      const { dir, name } = await place(fs, operation.to)
      return void (await fs.link(ROOT, ino, dir, name, request))
    }
    case 'rename': {
      const from = await place(fs, operation.path)
      const to = await place(fs, operation.to)
      return void (await fs.rename(ROOT, from.dir, from.name, to.dir, to.name, { request }))
    }
    case 'write':
      return void (await fs.write(ROOT, await find(fs, operation.path), operation.at, bytes, operation.stable))
    case 'store': {
      const { dir, name } = await place(fs, operation.path)
      return void (await fs.store(ROOT, dir, name, bytes, { mode: CREATE_MODE }))
    }
    case 'truncate':
      return void (await setattr(fs, operation.path, { size: operation.size }, request))
    case 'chmod':
      return void (await setattr(fs, operation.path, { mode: CHMOD_MODE }, request))
    case 'chown':
      return void (await setattr(fs, operation.path, CHOWN, request))
    case 'utimes':
      return void (await setattr(fs, operation.path, { mtime: UTIMES }, request))
    case 'commit':
      return void (await fs.commitFile(await find(fs, operation.path)))
    case 'sync':
      return fs.sync()
    default:
      throw new Error(`${operation.op} is no operation of files`)
  }
}

async function setattr(fs: MatrixFs, path: string, changes: AttributeChanges, request?: RequestId): Promise<void> {
  await fs.setattr(ROOT, await find(fs, path), changes, undefined, request)
}

async function make(fs: MatrixFs, operation: Operation & { path: string }, request?: RequestId): Promise<void> {
  const { dir, name } = await place(fs, operation.path)
  const file = { mode: CREATE_MODE }
  switch (operation.op) {
    case 'create':
      return void (await fs.create(ROOT, dir, name, file, 'guarded', request))
    case 'recreate':
      return void (await fs.create(ROOT, dir, name, { ...file, size: 0 }, 'unchecked', request))
    case 'mkdir':
      return void (await fs.mkdir(ROOT, dir, name, { mode: MKDIR_MODE }, request))
    case 'fifo':
      return void (await fs.mknod(ROOT, dir, name, FIFO, file, 0, 0, request))
    case 'device':
      return void (await fs.mknod(ROOT, dir, name, CHR, file, DEVICE.major, DEVICE.minor, request))
    case 'symlink':
      return void (await fs.symlink(ROOT, dir, name, operation.target, { mode: 0o777 }, request))
  }
}

export async function find(fs: MatrixFs, path: string): Promise<number> {
  let ino: number = ROOT_INO
  for (const name of path.split('/').filter(Boolean)) ino = (await fs.lookup(ROOT, ino, name)).inode.ino
  return ino
}

async function place(fs: MatrixFs, path: string): Promise<{ dir: number; name: string }> {
  const slash = path.lastIndexOf('/')
  return { dir: await find(fs, path.slice(0, Math.max(0, slash))), name: path.slice(slash + 1) }
}
