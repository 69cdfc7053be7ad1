/**
 * Two directories that all clients litter: files and directories are made, linked, renamed within and across, removed and looked at, under few
 * names, so that nodes race over the last name and the last open. Every answer is recorded, and at the end of a run the record
 * must have an order that explains it (test/e2e/checker), taking into account what the deaths of nodes may undo.
 *
 * A verb's answer holds at once; that it outlives its node is claimed only where somebody has waited for it to be durable.
 */
import { FsError } from '../../src/base/errors.ts'
import { ROOT_INO } from '../../src/base/ids.ts'
import type { Prng } from '../../src/base/prng.ts'
import { DIR, type Inode, type MatrixFs } from '../../src/metadata/index.ts'
import { type Clock, sleep } from '../../src/platform/index.ts'
import type { Operation } from '../e2e/checker/history.ts'
import { type DirectoryAnswer, type DirectoryCall, directories } from '../e2e/checker/models/directory.ts'
import { describeWindow } from '../e2e/checker/report.ts'
import { explain } from '../e2e/checker/wgl.ts'
import { durable, ROOT } from './calls.ts'
import type { AtLife } from './oracle.ts'
import type { SimWorld } from './world.ts'

const DIRECTORIES = ['A', 'B']
const NAMES = ['t0', 't1', 't2']
/** Configurations that one seed may cost. */
const BOUND = 200_000

type Recorded = {
  readonly client: string
  readonly at: AtLife
  readonly call: DirectoryCall
  readonly start: number
  end: number
  answer: DirectoryAnswer | undefined
  durable: boolean
}

export class Litter {
  readonly #world: SimWorld
  readonly #recorded: Recorded[] = []

  constructor(world: SimWorld) {
    this.#world = world
  }

  static readonly directories: readonly string[] = DIRECTORIES

  /** One thing done by a client at a node. */
  async step(fs: MatrixFs, at: AtLife, client: number, prng: Prng, clock: Clock): Promise<void> {
    const [from, to] = [await place(fs, prng), await place(fs, prng)]
    const token = `t${this.#recorded.length}`
    const record = <T>(
      call: DirectoryCall,
      verb: () => T | Promise<T>,
      say: (result: T) => DirectoryAnswer = () => ({}),
    ) => this.#record(client, at, fs, prng, call, verb, say)
    const { path: name } = from
    switch (
      prng.pick([
        'create',
        'put',
        'mkdir',
        'link',
        'rename',
        'rename',
        'remove',
        'rmdir',
        'lookup',
        'list',
        'open',
        'child',
      ] as const)
    ) {
      case 'create': {
        const exclusive = prng.chance(0.5)
        const how = exclusive ? 'guarded' : 'unchecked'
        const create = () => fs.create(ROOT, from.dir, from.name, { mode: 0o644 }, how)
        const made = await record({ kind: 'create', name, exclusive, token }, create, ({ inode }) => ({
          id: `${inode.ino}`,
        }))
        await fs.write(ROOT, made.inode.ino, prng.below(20_000), prng.bytes(5000), false)
        return
      }
      case 'put': {
        const store = () => fs.store(ROOT, from.dir, from.name, prng.bytes(prng.below(20_000)), { mode: 0o644 })
        await record({ kind: 'put', name, token }, store, ({ inode }) => ({ id: `${inode.ino}` }))
        return
      }
      case 'mkdir': {
        const mkdir = () => fs.mkdir(ROOT, from.dir, from.name, { mode: 0o755 })
        await record({ kind: 'mkdir', name, token }, mkdir, ({ inode }) => ({ id: `${inode.ino}` }))
        return
      }
      case 'link': {
        const { inode } = await fs.lookup(ROOT, from.dir, from.name)
        await record({ kind: 'link', id: `${inode.ino}`, to: to.path }, () => fs.link(ROOT, inode.ino, to.dir, to.name))
        return
      }
      case 'rename': {
        const noReplace = prng.chance(0.3)
        const rename = () => fs.rename(ROOT, from.dir, from.name, to.dir, to.name, { noReplace })
        await record({ kind: 'rename', name, to: to.path, noReplace }, rename)
        return
      }
      case 'remove':
        await record({ kind: 'unlink', name }, () => fs.remove(ROOT, from.dir, from.name))
        return
      case 'rmdir':
        await record({ kind: 'rmdir', name }, () => fs.rmdir(ROOT, from.dir, from.name))
        return
      case 'lookup':
        await record(
          { kind: 'lookup', name },
          () => fs.lookup(ROOT, from.dir, from.name),
          ({ inode }) => describe(inode),
        )
        return
      case 'list':
        await record(
          { kind: 'list', directory: from.directory },
          () => fs.readdir(ROOT, from.dir, 0, 100),
          ({ entries }) => ({
            entries: Object.fromEntries(
              entries.filter(({ name }) => NAMES.includes(name)).map(({ name, ino }) => [name, { id: `${ino}` }]),
            ),
          }),
        )
        return
      case 'open': {
        const { inode } = await fs.lookup(ROOT, from.dir, from.name)
        await fs.open(inode.ino)
        try {
          if (prng.chance(0.5)) await record({ kind: 'unlink', name }, () => fs.remove(ROOT, from.dir, from.name))
          await sleep(clock, prng.below(30))
          if (inode.type !== DIR) await fs.read(ROOT, inode.ino, 0, 5000) // open, so it is there whatever others did to its name
        } finally {
          fs.close(inode.ino)
        }
        return
      }
      case 'child': {
        const { inode } = await fs.lookup(ROOT, from.dir, from.name)
        if (inode.type !== DIR) return
        const kind = prng.pick(['createIn', 'removeIn'] as const)
        const make = () => fs.create(ROOT, inode.ino, 'c', { mode: 0o600 }, 'guarded')
        const remove = () => fs.remove(ROOT, inode.ino, 'c')
        await record({ kind, id: `${inode.ino}`, child: 'c' }, kind === 'createIn' ? make : remove)
        return
      }
    }
  }

  async #record<T>(
    client: number,
    at: AtLife,
    fs: MatrixFs,
    prng: Prng,
    call: DirectoryCall,
    verb: () => T | Promise<T>,
    say: (result: T) => DirectoryAnswer,
  ): Promise<T> {
    const recorded: Recorded = {
      client: `c${client}`,
      ...{ at, call, start: this.#world.now, end: Number.POSITIVE_INFINITY, answer: undefined, durable: false },
    }
    this.#recorded.push(recorded)
    const answered = (answer: DirectoryAnswer) => {
      recorded.answer = answer
      recorded.end = this.#world.now
      this.#world.trace(`client ${client} ${directories.describe(call, answer)}`)
    }
    let result: T
    try {
      result = await verb()
      answered(say(result))
    } catch (error) {
      if (error instanceof FsError && error.code !== 'EIO' && error.code !== 'EDOUBT') answered({ error: error.code })
      throw error
    }
    if (prng.chance(0.5)) {
      await durable(fs)
      recorded.durable = true
    }
    return result
  }

  /** Throws unless some order explains all answers. */
  judge(): { readonly operations: number; readonly configurations: number } {
    const lives = new Set(this.#recorded.map(({ at }) => at))
    const deaths = [...lives].flatMap((at) => (at.endedAt === undefined ? [] : [{ at: at.name, time: at.endedAt }]))
    const operations = this.#recorded.map((recorded): Operation<DirectoryCall, DirectoryAnswer> => {
      const { at, answer } = recorded
      // what a dead node left unanswered is decided, unseen, when its journal is read
      const end = answer === undefined && at.goneAt !== undefined ? Math.max(recorded.start, at.goneAt) : recorded.end
      return { ...recorded, end, at: at.name, protocol: 'verb', object: 'litter' }
    })
    const verdict = explain(directories, operations, { deaths, bound: BOUND })
    if (verdict.kind === 'unexplained') throw new Error(describeWindow('litter', directories, verdict))
    if (verdict.kind === 'undecided')
      throw new Error(
        `litter: ${operations.length} operations are undecided after ${verdict.configurations} configurations`,
      )
    return verdict
  }
}

async function place(fs: MatrixFs, prng: Prng) {
  const directory = prng.pick(DIRECTORIES)
  const name = prng.pick(NAMES)
  const { inode } = await fs.lookup(ROOT, ROOT_INO, directory)
  return { directory, dir: inode.ino, name, path: `${directory}/${name}` }
}

function describe(inode: Inode): DirectoryAnswer {
  const isDirectory = inode.type === DIR
  return { id: `${inode.ino}`, type: isDirectory ? 'dir' : 'file', links: isDirectory ? undefined : inode.nlink }
}
