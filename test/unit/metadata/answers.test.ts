/** What a verb answers is what it found and did: not what others do before its caller's turn, or while it is made durable. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT_INO } from '../../../src/base/ids.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { superuser } from '../../suites/posix-fs.ts'

test('two verbs that go on in one turn: the answer of the first knows nothing of the second', async () => {
  const matrix = await makeLocalMatrix({ nodes: 2, seed: 1 })
  const [a, b] = matrix.nodes.map((node): MatrixFs => node.fs) as [MatrixFs, MatrixFs]
  const { inode } = await b.create(superuser, ROOT_INO, 'name', { mode: 0o644 }, 'guarded')
  await b.link(superuser, inode.ino, ROOT_INO, 'other')
  // both need the locks that the other node has, and get them at the same moment
  const looked = a.lookup(superuser, ROOT_INO, 'name')
  const removed = a.remove(superuser, ROOT_INO, 'name')
  const made = a.create(superuser, ROOT_INO, 'new', { mode: 0o600 }, 'guarded')
  const found = await looked
  assert.is(found.inode.nlink, 2, 'both names were there')
  const [first, second] = [await removed, await made].sort((x, y) => x.dir.change - y.dir.change)
  assert.ok(first && second && first.dir.change < second.dir.change, 'each shows the directory as it left it')
  assert.is(second?.before.ctimeNs, first?.dir.ctimeNs)
  await matrix.close()
})

test('a stable write answers with the file as it left it, whatever others write while it becomes stable', async () => {
  const matrix = await makeLocalMatrix({ nodes: 1, seed: 1 })
  const { fs } = matrix.nodes[0] as { fs: MatrixFs }
  const { inode } = await fs.create(superuser, ROOT_INO, 'file', { mode: 0o644 }, 'guarded')
  await fs.write(superuser, inode.ino, 0, Buffer.alloc(1), true)
  const stable = fs.write(superuser, inode.ino, 0, Buffer.alloc(5000, 1), true)
  await fs.write(superuser, inode.ino, 5000, Buffer.alloc(3000, 2), false)
  assert.is((await stable).inode.size, 5000)
  const committed = fs.commitFile(inode.ino)
  await fs.write(superuser, inode.ino, 8000, Buffer.alloc(1000, 3), false)
  const { before, inode: file } = await committed
  assert.equal([before.size, file.size], [8000, 8000])
  assert.is((await fs.getattr(inode.ino)).size, 9000)
  await matrix.close()
})

test.run()
