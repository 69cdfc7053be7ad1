/** A change that a client asks for twice, at one node or at two, is made once (R127). test/crash does the same across a death. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../../src/base/errors.ts'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { MiB } from '../../../src/base/units.ts'
import { DONE_CELLS, DONE_PAGE_BYTES, DoneRequests } from '../../../src/metadata/image/done-requests.ts'
import { Image } from '../../../src/metadata/image/image.ts'
import { DoneAlready, FIFO, type MatrixFs, type RequestId } from '../../../src/metadata/index.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { superuser as root } from '../../suites/posix-fs.ts'

let lastXid = 0
function nextRequest(client = 1): RequestId {
  lastXid++
  return { client, xid: lastXid, check: lastXid * 977 }
}

/** 'done', 'done already' with what was made, or the error. */
async function outcome(change: () => unknown): Promise<string> {
  try {
    await change()
    return 'done'
  } catch (error) {
    if (error instanceof DoneAlready) return `done already${error.made === 0 ? '' : `, made ${error.made}`}`
    throw error
  }
}

async function errorOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'no error'
  } catch (error) {
    return isFsError(error) ? error.code : String(error)
  }
}

type Change = {
  readonly name: string
  prepare?(fs: MatrixFs): Promise<unknown>
  readonly makes?: string
  change(fs: MatrixFs, request: RequestId, ino: (name: string) => Promise<number>): unknown
}

const file = { mode: 0o644 }
const make = (name: string) => async (fs: MatrixFs) => {
  await fs.create(root, ROOT_INO, name, file, 'guarded')
}

/** Each would fail, or do something else, if it were done twice. */
const changes: readonly Change[] = [
  { name: 'CREATE', makes: 'c', change: (fs, r) => fs.create(root, ROOT_INO, 'c', file, 'guarded', r) },
  { name: 'MKDIR', makes: 'd', change: (fs, r) => fs.mkdir(root, ROOT_INO, 'd', { mode: 0o755 }, r) },
  { name: 'SYMLINK', makes: 's', change: (fs, r) => fs.symlink(root, ROOT_INO, 's', 'target', {}, r) },
  { name: 'MKNOD', makes: 'p', change: (fs, r) => fs.mknod(root, ROOT_INO, 'p', FIFO, file, 0, 0, r) },
  { name: 'REMOVE', prepare: make('x'), change: (fs, r) => fs.remove(root, ROOT_INO, 'x', r) },
  {
    name: 'RMDIR',
    prepare: async (fs) => fs.mkdir(root, ROOT_INO, 'y', { mode: 0o755 }),
    change: (fs, r) => fs.rmdir(root, ROOT_INO, 'y', r),
  },
  {
    name: 'RENAME',
    prepare: make('from'),
    change: (fs, r) => fs.rename(root, ROOT_INO, 'from', ROOT_INO, 'to', { request: r }),
  },
  {
    name: 'LINK',
    prepare: make('one'),
    change: async (fs, r, ino) => fs.link(root, await ino('one'), ROOT_INO, 'two', r),
  },
  {
    name: 'SETATTR with a guard',
    prepare: make('guarded'),
    async change(fs, r, ino) {
      const { ctimeS, ctimeNs } = await fs.getattr(await ino('guarded'))
      return fs.setattr(root, await ino('guarded'), { mode: 0o600 }, { s: ctimeS, ns: ctimeNs }, r)
    },
  },
  {
    name: 'SETATTR of a size',
    prepare: make('sized'),
    change: async (fs, r, ino) => fs.setattr(root, await ino('sized'), { size: 5 }, undefined, r),
  },
  {
    name: 'SETATTR of a size and times, after a late write',
    async prepare(fs) {
      const { inode } = await fs.create(root, ROOT_INO, 'late', file, 'guarded')
      await fs.write(root, inode.ino, 0, Buffer.alloc(10, 1), false)
    },
    change: async (fs, r, ino) =>
      fs.setattr(root, await ino('late'), { size: 9000, mtime: { s: 7, ns: 0 } }, undefined, r),
  },
]

function at(matrix: LocalMatrix, node: number): MatrixFs {
  return (matrix.nodes[node] as LocalMatrix['nodes'][number]).fs
}

test('what one node has done another does not do again, nor the same', async () => {
  const matrix = await makeLocalMatrix({ nodes: 3 })
  const [a, b, c] = [at(matrix, 0), at(matrix, 1), at(matrix, 2)]
  for (const { name, prepare, makes, change } of changes) {
    await prepare?.(a)
    const request = nextRequest()
    const ino = async (of: string) => (await b.lookup(root, ROOT_INO, of)).inode.ino
    const made = async () => (makes ? `, made ${await ino(makes)}` : '')
    assert.is(await outcome(() => change(a, request, ino)), 'done', name)
    const { inode: dir } = await a.lookup(root, ROOT_INO, '.')
    const before = dir.change
    for (const fs of [b, c, a])
      assert.match(await outcome(() => change(fs, request, ino)), `done already${await made()}`, name)
    assert.is((await a.getattr(ROOT_INO)).change, before, `${name} has changed the directory once`)
  }
  assert.equal(await matrix.check(), [])
  const [first, ...others] = matrix.nodes.map(({ volume }) => volume)
  for (const each of others) {
    for (const { slot, volume } of matrix.nodes) {
      await each.applyTo(new Map([[slot, volume.endOf(slot)]]))
      await first?.applyTo(new Map([[slot, volume.endOf(slot)]]))
    }
    assert.is(each.hash(), first?.hash(), 'the images are equal, with what is recorded')
  }
  await matrix.close()
})

test('a request that two nodes have under way at the same time is done by one of them', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2, seed: 3 })
  const [a, b] = [at(matrix, 0), at(matrix, 1)]
  for (let round = 0; round < 20; round++) {
    const request = nextRequest()
    const name = `f${round}`
    // each takes the directory from the other
    const both = [a, b].map((fs) => outcome(() => fs.create(root, ROOT_INO, name, file, 'guarded', request)))
    const { ino } = (await a.lookup(root, ROOT_INO, (await Promise.all(both)) && name)).inode
    assert.equal((await Promise.all(both)).sort(), ['done', `done already, made ${ino}`])
  }
  await matrix.close()
})

test('what differs in client, number or content is another request', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const [a, b] = [at(matrix, 0), at(matrix, 1)]
  const request = nextRequest()
  await a.mkdir(root, ROOT_INO, 'd', { mode: 0o755 }, request)
  for (const other of [{ client: 2 }, { xid: 12_345 }, { check: request.check + 1 }]) {
    const removed = await outcome(() => b.rmdir(root, ROOT_INO, 'd', { ...request, ...other }))
    assert.is(removed, 'done')
    await a.mkdir(root, ROOT_INO, 'd', { mode: 0o755 }, nextRequest())
  }
  await matrix.close()
})

test('a request that failed is not remembered: nothing was done', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2 })
  const [a, b] = [at(matrix, 0), at(matrix, 1)]
  const request = nextRequest()
  const failure = await errorOf(() => a.remove(root, ROOT_INO, 'x', request))
  assert.is(failure, 'ENOENT')
  await make('x')(a)
  assert.is(await outcome(() => b.remove(root, ROOT_INO, 'x', request)), 'done')
  await matrix.close()
})

test('a client keeps its last requests however busy others are, and the cells are bounded', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1, plan: { journalBytes: 16 * MiB } })
  const fs = at(matrix, 0)
  const { volume } = matrix.nodes[0] as LocalMatrix['nodes'][number]
  await make('f')(fs)
  const { ino } = (await fs.lookup(root, ROOT_INO, 'f')).inode
  const quiet = Array.from({ length: 200 }, () => nextRequest(7))
  for (const request of quiet) await fs.setattr(root, ino, { mode: 0o600 }, undefined, request)
  for (let k = 0; k < 6000; k++) await fs.setattr(root, ino, { mode: 0o600 }, undefined, nextRequest(100 + (k % 5)))
  for (const request of quiet)
    assert.is(await outcome(() => fs.setattr(root, ino, { mode: 0 }, undefined, request)), 'done already')
  const used = volume.image.done.cellsOf(0)
  assert.ok(used <= 200 + 5 * 512, `${used} cells are used`)
  await matrix.close()
})

test('more clients than there are cells for: the oldest go', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1, plan: { journalBytes: 16 * MiB } })
  const fs = at(matrix, 0)
  const { volume } = matrix.nodes[0] as LocalMatrix['nodes'][number]
  await make('f')(fs)
  const { ino } = (await fs.lookup(root, ROOT_INO, 'f')).inode
  const requests = Array.from({ length: DONE_CELLS + 3000 }, (_, k) => nextRequest(k))
  for (const request of requests) await fs.setattr(root, ino, { mode: 0o600 }, undefined, request)
  assert.is(volume.image.done.cellsOf(0), DONE_CELLS)
  const known = requests.map((request) => volume.image.done.find(request) !== undefined)
  assert.is(known.indexOf(true), 3000)
  assert.not(known.slice(3000).includes(false))
  await matrix.close()
})

test('requests come back with the image, get old, and pages that are none are refused', async () => {
  const image = Image.empty()
  image.begin()
  const request = nextRequest()
  assert.ok(image.done.put({ op: 'putDone', slot: 63, cell: DONE_CELLS - 1, ...request, made: 2 ** 50 }))
  assert.not(image.done.put({ op: 'putDone', slot: 0, cell: DONE_CELLS, ...request, made: 0 }))
  image.commit()
  const again = await Image.load(image.serialize())
  assert.is(again.done.find(request), 2 ** 50)
  assert.is(again.hash(), image.hash())
  for (let k = 0; k < 3; k++) again.done.age()
  assert.is(again.done.find(request), 2 ** 50)
  again.done.age()
  assert.is(again.done.find(request), undefined, 'its client may use the number for something else now')
  assert.not(new DoneRequests().load([[0, Buffer.alloc(DONE_PAGE_BYTES - 1)]]))
  assert.not(new DoneRequests().load([[-1, Buffer.alloc(DONE_PAGE_BYTES)]]))
})

test('an image that was made before requests were recorded is loaded', async () => {
  const { default: Database } = await import('better-sqlite3')
  const db = new Database(Image.empty().serialize())
  db.exec('DROP TABLE done; PRAGMA user_version = 1')
  const image = await Image.load(db.serialize())
  assert.is(image.hash(), Image.empty().hash())
})

test.run()
