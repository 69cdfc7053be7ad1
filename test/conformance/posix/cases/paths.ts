/**
 * How a path leads to a file (XBD 4.16), the same for every call that takes one: numbers 1 … 19 of each call's group, and
 * 101 … 119 for the second path of a call that takes two.
 */
import type { Calls, Kind, Pending } from '../calls.ts'
import type { Rule } from '../rules.ts'
import type { Trial } from '../trial.ts'
import { alice, root, TEAM, type User } from '../users.ts'

export type PathCall = {
  /** In the rules: the call, and which of its paths. */
  readonly name: string
  readonly second?: boolean
  /** Names something that exists (of that kind), or something that does not yet. */
  readonly finds?: Kind
  readonly act: (calls: Calls, path: string, n: number) => Pending<unknown>
  /** What the n-th act needs besides the object at its path. */
  readonly ready?: (t: Trial, n: number) => Promise<unknown>
  /** What it answers when the last component is a symbolic link: one that dangles, one to itself, one to a file. */
  readonly dangling: string
  readonly loop: string
  /** What it answers to `new/` (if it makes something) or `file/`. */
  readonly slash: readonly string[]
}

const LONG = 255
const PATH_MAX = 4096
const MAX_LINKS = 40

export function pathRules(rule: Rule, call: PathCall): void {
  const { name, finds } = call
  const base = call.second ? 100 : 0

  /** A place for the object, made when the call wants to find one; users may do with it what they like. */
  const prepare = async (t: Trial, path: string, owner: User = root): Promise<void> => {
    if (!finds) return
    await t.make(finds, path)
    if (finds === 'symlink') await t.lchown(path, owner.uid, owner.gid)
    else {
      await t.chown(path, owner.uid, owner.gid)
      await t.chmod(path, 0o777)
    }
  }
  const add = (number: number, text: string, run: (t: Trial, attempt: Attempt) => Promise<void>): void => {
    rule(base + number, `${name}: ${text}`, async (t) => {
      let n = 0
      await run(t, async (path, expected = 'ok', user = root) => {
        n++
        await call.ready?.(t, n)
        const pending = call.act(t.as(user), path, n)
        if (expected === 'ok') await t.works(pending)
        else await t.fails(expected, pending)
      })
    })
  }

  add(1, 'ENOENT when a directory on the way is missing', async (_t, attempt) => {
    await attempt('missing/x', 'ENOENT')
    await attempt('missing/../x', 'ENOENT')
  })
  if (finds) {
    add(2, 'ENOENT when there is no such file', async (t, attempt) => {
      await t.mkdir('d')
      await attempt('x', 'ENOENT')
      await attempt('d/x', 'ENOENT')
    })
  } else {
    add(2, 'the name is new: the call makes it', async (t, attempt) => {
      await t.mkdir('d')
      await attempt('d/x')
      await t.is('entries of d', await t.list('d'), ['x'])
    })
  }
  add(3, 'ENOENT for an empty path', async (_t, attempt) => {
    await attempt('', 'ENOENT')
  })
  add(4, 'ENOTDIR when something on the way is no directory', async (t, attempt) => {
    await t.create('f')
    await t.mknod('p', 'fifo')
    await t.symlink('f', 'l')
    await attempt('f/x', 'ENOTDIR')
    await attempt('p/x', 'ENOTDIR')
    await attempt('l/x', 'ENOTDIR')
    await attempt('f/../x', 'ENOTDIR')
  })
  add(5, 'ENAMETOOLONG for a component longer than NAME_MAX', async (_t, attempt) => {
    await attempt('x'.repeat(LONG + 1), 'ENAMETOOLONG')
    await attempt(`${'x'.repeat(LONG + 1)}/x`, 'ENAMETOOLONG')
    await attempt('\xff'.repeat(LONG + 1), 'ENAMETOOLONG')
  })
  add(6, 'a component of NAME_MAX bytes is fine', async (t, attempt) => {
    const long = 'n'.repeat(LONG)
    await prepare(t, long)
    await attempt(long)
    await t.mkdir(`${'d'.repeat(LONG)}`)
    await prepare(t, `${'d'.repeat(LONG)}/x`)
    await attempt(`${'d'.repeat(LONG)}/x`)
  })
  add(7, 'ENAMETOOLONG for a path of PATH_MAX bytes or more', async (t, attempt) => {
    await prepare(t, 'xy')
    await attempt(`${'./'.repeat(PATH_MAX / 2 - 1)}xy`, 'ENAMETOOLONG')
    await attempt(`${'/'.repeat(PATH_MAX)}`, 'ENAMETOOLONG')
  })
  add(8, 'a path of PATH_MAX - 1 bytes is fine', async (t, attempt) => {
    await prepare(t, 'x')
    await attempt(`${'./'.repeat(PATH_MAX / 2 - 1)}x`)
  })
  add(9, 'ELOOP when a symbolic link on the way leads to itself', async (t, attempt) => {
    await t.symlink('l2', 'l1')
    await t.symlink('l1', 'l2')
    await t.symlink('l3', 'l3')
    await attempt('l1/x', 'ELOOP')
    await attempt('l3/x', 'ELOOP')
    await attempt('l3/../x', 'ELOOP')
  })
  add(10, `a last component that is a symbolic link to itself: ${call.loop}`, async (t, attempt) => {
    await t.symlink('l2', 'l1')
    await t.symlink('l1', 'l2')
    await attempt('l1', call.loop)
  })
  add(11, `a last component that is a dangling symbolic link: ${call.dangling}`, async (t, attempt) => {
    await t.symlink('nowhere', 'l')
    await attempt('l', call.dangling)
  })
  add(12, 'symbolic links on the way are followed, relative to where they lie', async (t, attempt) => {
    await t.mkdir('d')
    await t.mkdir('e')
    await t.symlink('../d', 'e/l')
    await t.symlink('e', 'k')
    await prepare(t, 'd/x')
    await attempt('k/l/x')
  })
  add(13, 'a chain of 40 symbolic links is followed, of more it is ELOOP', async (t, attempt) => {
    await t.mkdir('d')
    await prepare(t, 'd/x')
    await t.symlink('d', 's1')
    for (let i = 2; i <= MAX_LINKS + 1; i++) await t.symlink(`s${i - 1}`, `s${i}`)
    await attempt(`s${MAX_LINKS + 1}/x`, 'ELOOP')
    await attempt(`s${MAX_LINKS}/x`)
  })
  add(14, 'EACCES without search permission on the way: one class of bits counts', async (t, attempt) => {
    for (const [dir, uid, gid, mode] of [
      ['other', 0, 0, 0o776],
      ['owner', alice.uid, 0, 0o677],
      ['group', 0, alice.gid, 0o767],
      ['team', 0, TEAM, 0o767],
    ] as const) {
      await t.mkdir(dir)
      await prepare(t, `${dir}/x`, alice)
      await t.chown(dir, uid, gid)
      await t.chmod(dir, mode)
      await attempt(`${dir}/x`, 'EACCES', alice)
    }
  })
  add(
    15,
    'search permission (with that to write) is all it needs of the directory, as owner, group or other',
    async (t, attempt) => {
      for (const [dir, uid, gid, mode] of [
        ['other', 0, 0, 0o003],
        ['owner', alice.uid, 0, 0o300],
        ['group', 0, alice.gid, 0o030],
        ['team', 0, TEAM, 0o030],
      ] as const) {
        await t.mkdir(dir)
        await prepare(t, `${dir}/x`, alice)
        await t.chown(dir, uid, gid)
        await t.chmod(dir, mode)
        await attempt(`${dir}/x`, 'ok', alice)
      }
    },
  )
  add(16, 'root needs no permission on the way', async (t, attempt) => {
    await t.mkdir('d')
    await prepare(t, 'd/x', alice)
    await t.chown('d', alice.uid, alice.gid)
    await t.chmod('d', 0)
    await attempt('d/x')
  })
  add(
    17,
    finds === 'dir' ? 'slashes after a directory are fine' : `a slash after the name: ${call.slash.join(' or ')}`,
    async (t, attempt) => {
      await prepare(t, 'x')
      if (call.slash.length > 0) await attempt('x/', call.slash)
      else await attempt('x//')
    },
  )
  add(18, 'dots and repeated slashes lead where they say', async (t, attempt) => {
    await t.mkdir('d')
    await prepare(t, 'd/x')
    await attempt('.//d/../d/.///x')
  })
  add(19, 'a name is bytes: any but NUL and slash', async (t, attempt) => {
    for (const path of ['\xff\xfe', '\xc3\x28', 'e\xcc\x81', '\xc3\xa9', '\x01\n\t\\"', ' ', '-', '...']) {
      await prepare(t, path)
      await attempt(path)
    }
  })
}

type Attempt = (path: string, expected?: string | readonly string[], user?: User) => Promise<void>
