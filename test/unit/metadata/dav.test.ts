/** Dead properties and WebDAV locks at the nodes of one matrix: whom they bind, and what becomes of them (R128, R129). */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isFsError } from '../../../src/base/errors.ts'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { type Caller, type DavLockRequest, LockedError, type MatrixFs } from '../../../src/metadata/index.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { SimWorld } from '../../sim/world.ts'

const root: Caller = { uid: 0, gid: 0, gids: [] }
/** A client of WebDAV who has submitted these tokens. */
const client = (...tokens: string[]): Caller => ({ ...root, guard: { tokens, principal: 'ann' } })
const hour = 3_600_000
let serial = 0

function request(changes: Partial<DavLockRequest> = {}): DavLockRequest {
  return {
    token: `urn:uuid:${++serial}`,
    shared: false,
    infinite: false,
    timeoutMs: hour,
    owner: 'ann',
    root: '/home/x',
    mode: 0o644,
    ...changes,
  }
}

async function withNodes(nodes: number, run: (fs: MatrixFs[], matrix: LocalMatrix) => Promise<void>): Promise<void> {
  const matrix = await makeLocalMatrix({ nodes })
  try {
    await run(
      matrix.nodes.map(({ fs }) => fs),
      matrix,
    )
    assert.equal(await matrix.check(), [])
  } finally {
    await matrix.close()
  }
}

async function refused(
  what: Promise<unknown> | unknown,
  condition: LockedError['condition'] = 'lock-token-submitted',
): Promise<LockedError> {
  try {
    await what
  } catch (error) {
    assert.instance(error, LockedError)
    assert.is((error as LockedError).condition, condition)
    return error as LockedError
  }
  throw new Error('it was not refused')
}

const make = async (fs: MatrixFs, name: string, dir = ROOT_INO) =>
  (await fs.create(root, dir, name, { mode: 0o644 }, 'guarded')).inode.ino
const mkdir = async (fs: MatrixFs, name: string, dir = ROOT_INO) =>
  (await fs.mkdir(root, dir, name, { mode: 0o755 })).inode.ino
const at = (name: string, dir = ROOT_INO) => ({ dir, name })
/** A verb that fails in the same call, as one that fails later. */
const later = <T>(verb: () => T): Promise<Awaited<T>> => Promise.resolve().then(verb) as Promise<Awaited<T>>

test('an exclusive lock binds WebDAV clients at every node, and nobody else', () =>
  withNodes(2, async ([a, b]) => {
    const f = await make(a!, 'f')
    const { lock } = await a!.dav.lock(client(), at('f'), request())
    for (const fs of [a!, b!]) {
      await refused(later(() => fs.remove(client(), ROOT_INO, 'f')))
      await refused(later(() => fs.rename(client(), ROOT_INO, 'f', ROOT_INO, 'g')))
      await refused(
        later(() =>
          fs.dav.patchProperties(client(), at('f'), { set: new Map([['{}p', 'v']]), remove: [], attributes: {} }),
        ),
      )
      await refused(later(() => fs.dav.check(client(), at('f'), 'content')))
      await refused(
        later(() => fs.dav.lock(client(), at('f'), request())),
        'no-conflicting-lock',
      )
      await refused(
        later(() => fs.dav.lock(client(), at('f'), request({ shared: true }))),
        'no-conflicting-lock',
      )
      assert.equal((await fs.dav.locks(ROOT_INO, [f])).get(f), [lock])
    }
    // the token of another user is no use
    const thief = { ...root, guard: { tokens: [lock.token], principal: 'bob' } }
    await refused(later(() => b!.remove(thief, ROOT_INO, 'f')))
    assert.ok(
      await later(() => b!.dav.unlock(thief, at('f'), lock.token)).then(
        () => false,
        (error) => isFsError(error, 'EACCES'),
      ),
    )
    await b!.dav.patchProperties(client(lock.token), at('f'), {
      set: new Map([['{}p', 'v']]),
      remove: [],
      attributes: {},
    })
    assert.is(await b!.dav.unlock(client(), at('f'), 'urn:uuid:none'), false)
    assert.is(await b!.dav.unlock(client(), at('f'), lock.token), true)
    assert.equal((await a!.dav.locks(ROOT_INO, [f])).get(f), [])
    await a!.dav.lock(client(), at('f'), request())
    await b!.remove(root, ROOT_INO, 'f')
  }))

test('shared locks go together, and one of their tokens is enough', () =>
  withNodes(2, async ([a, b]) => {
    await make(a!, 'f')
    const first = await a!.dav.lock(client(), at('f'), request({ shared: true }))
    const second = await b!.dav.lock(client(), at('f'), request({ shared: true }))
    await refused(
      later(() => a!.dav.lock(client(), at('f'), request())),
      'no-conflicting-lock',
    )
    await refused(later(() => a!.remove(client(), ROOT_INO, 'f')))
    assert.is(await a!.dav.unlock(client(), at('f'), second.lock.token), true)
    await b!.remove(client(first.lock.token), ROOT_INO, 'f')
  }))

test('a lock of infinite depth binds at every node at once, also where everything is cached', () =>
  withNodes(2, async ([a, b]) => {
    const d = await mkdir(a!, 'd')
    const e = await mkdir(a!, 'e', d)
    // b works below d, and has all it needs in memory
    await b!.create(client(), e, 'before', { mode: 0o644 }, 'guarded')
    await b!.create(client(), e, 'before2', { mode: 0o644 }, 'guarded')
    const { lock } = await a!.dav.lock(client(), at('d'), request({ infinite: true }))
    await refused(later(() => b!.create(client(), e, 'after', { mode: 0o644 }, 'guarded')))
    await refused(later(() => b!.mkdir(client(), d, 'after', { mode: 0o755 })))
    await refused(later(() => b!.remove(client(), e, 'before')))
    await refused(
      later(() => b!.dav.lock(client(), at('before', e), request())),
      'no-conflicting-lock',
    )
    await refused(
      later(() => b!.dav.lock(client(lock.token), at('new', e), request())),
      'no-conflicting-lock',
    )
    await b!.create(client(lock.token), e, 'after', { mode: 0o644 }, 'guarded')
    // refreshed and given up through a member
    const before = (await b!.lookup(root, e, 'before')).inode.ino
    assert.equal(
      (await b!.dav.locks(e, [before])).get(before)?.map(({ token }) => token),
      [lock.token],
    )
    const longer = await b!.dav.refresh(client(), at('before', e), lock.token, 2 * hour)
    assert.ok((longer?.expires ?? 0) > lock.expires)
    assert.is(await b!.dav.unlock(client(), at('before', e), lock.token), true)
    await a!.remove(client(), e, 'before')
  }))

test('a lock of depth 0 on a directory guards its names, not its members', () =>
  withNodes(2, async ([a, b]) => {
    const d = await mkdir(a!, 'd')
    await make(a!, 'f', d)
    const { lock } = await a!.dav.lock(client(), at('d'), request())
    await refused(later(() => b!.create(client(), d, 'g', { mode: 0o644 }, 'guarded')))
    await refused(later(() => b!.remove(client(), d, 'f')))
    await b!.dav.check(client(), at('f', d), 'content')
    await make(b!, 'temporary', d)
    await b!.rename(client(), d, 'temporary', d, 'f', { fresh: 'content' })
    await b!.remove(client(lock.token), d, 'f')
  }))

test('what is locked below keeps a directory in its place', () =>
  withNodes(2, async ([a, b]) => {
    const d = await mkdir(a!, 'd')
    const e = await mkdir(a!, 'e', d)
    await make(a!, 'f', e)
    const { lock } = await a!.dav.lock(client(), at('f', e), request({ root: '/home/d/e/f' }))
    const whats: (() => unknown)[] = [
      () => b!.dav.check(client(), at('d'), 'tree'),
      () => b!.rename(client(), ROOT_INO, 'd', ROOT_INO, 'x'),
    ]
    for (const what of whats) {
      const error = await refused(later(what))
      assert.ok(error.below)
      assert.equal(
        error.locks.map(({ root }) => root),
        ['/home/d/e/f'],
      )
    }
    const below = await refused(
      later(() => b!.dav.lock(client(), at('d'), request({ infinite: true }))),
      'no-conflicting-lock',
    )
    assert.ok(below.below)
    // given up, it is in nobody's way, also where that is not known yet
    const second = await a!.dav.lock(client(), at('e', d), request())
    await later(() => b!.dav.check(client(lock.token, second.lock.token), at('d'), 'tree'))
    await a!.dav.unlock(client(), at('e', d), second.lock.token)
    await b!.dav.check(client(lock.token), at('d'), 'tree')
    // MOVE leaves locks behind
    await b!.rename(client(lock.token), ROOT_INO, 'd', ROOT_INO, 'x')
    await a!.remove(client(), e, 'f')
  }))

test('a lock on nothing makes an empty file', () =>
  withNodes(2, async ([a, b]) => {
    const { created, lock } = await a!.dav.lock(client(), at('new'), request({ mode: 0o600 }))
    assert.ok(created)
    const { inode } = await b!.lookup(root, ROOT_INO, 'new')
    assert.equal([inode.ino, inode.size, inode.mode, inode.type], [lock.ino, 0, 0o600, 1])
    await refused(later(() => b!.remove(client(), ROOT_INO, 'new')))
  }))

test('new content keeps properties and locks, what replaces it as a whole keeps the locks', () =>
  withNodes(2, async ([a, b]) => {
    const keep = new Map([['{urn:x}p', '<p/>']])
    await make(a!, 'f')
    await a!.dav.patchProperties(client(), at('f'), { set: keep, remove: [], attributes: {} })
    const { lock } = await a!.dav.lock(client(), at('f'), request())
    const c = await make(b!, 'content')
    await refused(later(() => b!.rename(client(), ROOT_INO, 'content', ROOT_INO, 'f', { fresh: 'content' })))
    await b!.rename(client(lock.token), ROOT_INO, 'content', ROOT_INO, 'f', { fresh: 'content' })
    assert.equal((await a!.dav.properties([c])).get(c), keep)
    assert.equal(
      (await a!.dav.locks(ROOT_INO, [c])).get(c)?.map(({ token }) => token),
      [lock.token],
    )
    const g = await make(a!, 'g')
    await a!.rename(client(lock.token), ROOT_INO, 'g', ROOT_INO, 'f')
    assert.is((await b!.dav.properties([g])).get(g)?.size, 0)
    assert.equal(
      (await b!.dav.locks(ROOT_INO, [g])).get(g)?.map(({ token }) => token),
      [lock.token],
    )
    // over other protocols a replaced file is gone with all it had
    const h = await make(b!, 'h')
    await b!.rename(root, ROOT_INO, 'h', ROOT_INO, 'f')
    assert.equal((await a!.dav.locks(ROOT_INO, [h])).get(h), [])
  }))

test('a lock ends at its time, for everybody, and its row goes with the next lock', () =>
  withNodes(2, async ([a, b], { nodes }) => {
    const f = await make(a!, 'f')
    await a!.dav.lock(client(), at('f'), request({ timeoutMs: -10_000 }))
    assert.equal((await b!.dav.locks(ROOT_INO, [f])).get(f), [])
    await b!.dav.patchProperties(client(), at('f'), { set: new Map([['{}p', '']]), remove: [], attributes: {} })
    const { lock } = await b!.dav.lock(client(), at('f'), request())
    assert.equal(nodes[1]!.volume.image.davLocks(f), [lock])
  }))

test('properties are bounded, all or nothing, and copied', () =>
  withNodes(2, async ([a, b]) => {
    const f = await make(a!, 'f')
    const g = await make(b!, 'g')
    const set = (entries: [string, string][], remove: string[] = []) =>
      later(() =>
        b!.dav.patchProperties(client(), at('f'), {
          set: new Map(entries),
          remove,
          attributes: { mtime: { s: 5, ns: 0 } },
        }),
      )
    await set([
      ['{urn:x}a', '1'],
      ['{urn:x}b', '2'],
    ])
    await set([['{urn:x}a', '3']], ['{urn:x}b', '{urn:x}none'])
    const many = Array.from({ length: 200 }, (_, i): [string, string] => [`{urn:x}${i}`, 'v'])
    assert.ok(
      await set(many).then(
        () => false,
        (error) => isFsError(error, 'ENOSPC'),
      ),
    )
    assert.equal((await a!.dav.properties([f, g])).get(f), new Map([['{urn:x}a', '3']]))
    assert.is((await a!.getattr(f)).mtimeS, 5)
    await a!.dav.copyProperties(root, f, g)
    assert.equal((await b!.dav.properties([g])).get(g), new Map([['{urn:x}a', '3']]))
    const stranger = { uid: 7, gid: 7, gids: [] }
    const forbidden = later(() =>
      b!.dav.patchProperties(stranger, at('f'), { set: new Map(), remove: ['{urn:x}a'], attributes: {} }),
    )
    assert.ok(
      await forbidden.then(
        () => false,
        (error) => isFsError(error, 'EACCES'),
      ),
    )
    await b!.remove(root, ROOT_INO, 'f')
    await a!.open(g)
    await b!.remove(root, ROOT_INO, 'g')
    a!.close(g)
  }))

test('of two locks above one another that are taken at the same moment at two nodes one is given', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new SimWorld(seed)
    const attempt = async () => {
      const matrix = await makeLocalMatrix({ nodes: 2, clock: world, seed })
      const [a, b] = matrix.nodes.map((node): MatrixFs => node.fs) as [MatrixFs, MatrixFs]
      const d = await mkdir(a, 'd')
      await make(a, 'f', d)
      await a.sync()
      await b.lookup(root, d, 'f')
      const both = await Promise.allSettled([
        a.dav.lock(client(), at('f', d), request()),
        b.dav.lock(client(), at('d'), request({ infinite: true })),
      ])
      const findings = await matrix.check()
      await matrix.close()
      return { both, findings }
    }
    const outcome = await world.settle(attempt())
    assert.equal(outcome.findings, [])
    const given = outcome.both.filter(({ status }) => status === 'fulfilled').length
    assert.is(given, 1, `seed ${seed}`)
  }
})

test('a sweep removes locks whose time is over, and no others', async () => {
  const world = new SimWorld(1)
  const attempt = async () => {
    const matrix = await makeLocalMatrix({ nodes: 2, clock: world, seed: 1 })
    const [a, b] = matrix.nodes.map((node): MatrixFs => node.fs) as [MatrixFs, MatrixFs]
    await make(a, 'f')
    await make(b, 'g')
    for (const [fs, name, timeoutMs] of [
      [a, 'f', 1000],
      [b, 'g', 1000],
      [b, 'stays', 10 * hour],
    ] as [MatrixFs, string, number][])
      await fs.dav.lock(client(), at(name), request({ timeoutMs }))
    await Promise.all([a.sync(), b.sync()])
    const counts = () => matrix.nodes.map(({ volume }) => volume.image.davLockCount)
    const rest = (ms: number) => new Promise<void>((resolve) => world.at(ms, resolve))
    await rest(30_000)
    const [early] = counts()
    await rest(300_000)
    const findings = await matrix.check()
    const [late] = counts()
    await matrix.close()
    return { early, late, findings }
  }
  assert.equal(await world.settle(attempt()), { early: 1, late: 1, findings: [] })
})

test('store: a locked file is replaced with the token of its lock only, and keeps lock and properties', async () => {
  await withNodes(2, async ([one, other]) => {
    const at = one as MatrixFs
    const away = other as MatrixFs
    const how = { mode: 0o644 }
    await at.store(client(), ROOT_INO, 'f', Buffer.from('old'), how)
    await at.dav.patchProperties(
      client(),
      { dir: ROOT_INO, name: 'f' },
      { attributes: {}, remove: [], set: new Map([['{x}p', 'value']]) },
    )
    const {
      lock: { token },
    } = await at.dav.lock(client(), { dir: ROOT_INO, name: 'f' }, request())
    await refused(away.store(client(), ROOT_INO, 'f', Buffer.from('new'), how))
    const { inode } = await away.store(client(token), ROOT_INO, 'f', Buffer.from('new'), how)
    assert.equal((await at.dav.properties([inode.ino])).get(inode.ino)?.get('{x}p'), 'value')
    await refused(at.store(client(), ROOT_INO, 'f', Buffer.from('newer'), how))
    await at.store(client(token), ROOT_INO, 'f', Buffer.from('newest'), how)
    // a lock on the directory stands against new names, too
    const { lock: whole } = await at.dav.lock(client(), { dir: ROOT_INO, name: '' }, request())
    await refused(away.store(client(), ROOT_INO, 'g', Buffer.from('new'), how))
    await away.store(client(whole.token), ROOT_INO, 'g', Buffer.from('new'), how)
  })
})

test.run()
