/**
 * The system calls as a case writes them, bound to a user. A call returns a promise that carries its own description, rejects
 * with CallError when the call fails, and goes to one of the directories under test: with several (the same filesystem at
 * several nodes), each call that changes something goes to the next one, and what looks at it goes to the one after.
 */
import { Agent, type Request } from './agent.ts'
import { root, type User } from './users.ts'

export type Time = readonly [seconds: number, nanoseconds: number]
export type TimeToSet = Time | 'now' | 'omit'
export type Kind = 'file' | 'dir' | 'symlink' | 'fifo' | 'socket' | 'block' | 'char'
export type Attributes = {
  readonly dev: number | string
  readonly ino: number | string
  readonly type: Kind
  readonly mode: number
  readonly nlink: number
  readonly uid: number
  readonly gid: number
  readonly size: number | string
  readonly blocks: number
  readonly blksize: number
  readonly rdev: readonly [number, number]
  readonly atime: Time
  readonly mtime: Time
  readonly ctime: Time
}
/** An entry of a directory: name, type, inode, position after it. */
export type Entry = readonly [name: string, type: Kind | 'unknown', ino: number | string, position: string]
export type Statvfs = Readonly<
  Record<
    'bsize' | 'frsize' | 'blocks' | 'bfree' | 'bavail' | 'files' | 'ffree' | 'favail' | 'flag' | 'namemax',
    number | string
  >
>
/** A descriptor, open in the agent. */
export type Handle = number
/** Beyond 2^53 as decimal text. */
export type Integer = number | string
/** A call under way. `what` is how a report names it. */
export type Pending<T> = Promise<T> & { readonly what: string }

type Way = 'change' | 'look' | 'descriptor'

/** Where calls go: the agents, and which directory is next. */
export class Port {
  readonly sides: number
  readonly #agents: Agent[] = []
  readonly #limit: number | undefined
  #entered: readonly string[] = []
  #next = 0

  constructor(sides: number, limit?: number) {
    this.sides = sides
    this.#limit = limit
  }

  /** Stands in the case's directory: its path by way of each directory under test. */
  async enter(paths: readonly string[]): Promise<void> {
    this.#entered = paths
    this.#next = 0
    for (const agent of this.#agents.splice(1)) agent.end()
    await this.agent(0).call({ call: 'enter', args: [paths], dir: -1 }, 'enter')
  }

  /** Gives up whatever the case left open. */
  async leave(): Promise<void> {
    for (const agent of this.#agents.splice(1)) agent.end()
    await this.agent(0).call({ call: 'leave', args: [], dir: -1 }, 'leave')
  }

  /** The n-th agent: a process of its own, for what happens at the same time. */
  agent(n: number): Agent {
    let agent = this.#agents[n]
    if (!agent || agent.dead) {
      agent = new Agent(this.#limit)
      this.#agents[n] = agent
      if (n > 0) agent.call({ call: 'enter', args: [this.#entered], dir: -1 }, 'enter').catch(() => {})
    }
    return agent
  }

  side(way: Way): number {
    if (way === 'change') {
      const side = this.#next
      this.#next = (this.#next + 1) % this.sides
      return side
    }
    return this.#next
  }

  end(): void {
    for (const agent of this.#agents) agent.end()
  }
}

export class Calls {
  readonly port: Port
  readonly user: User
  readonly mask: number
  readonly process: number

  constructor(port: Port, user: User, mask = 0, process = 0) {
    this.port = port
    this.user = user
    this.mask = mask
    this.process = process
  }

  /** The same calls by somebody else. */
  as(user: User): Calls {
    return new Calls(this.port, user, this.mask, this.process)
  }

  umask(mask: number): Calls {
    return new Calls(this.port, this.user, mask, this.process)
  }

  /** The same calls in a process of their own, which runs beside the others. */
  beside(n: number): Calls {
    return new Calls(this.port, this.user, this.mask, n)
  }

  #send<T>(way: Way, call: string, ...args: unknown[]): Pending<T> {
    const { uid, gid, groups, name } = this.user
    // processes beside one another each stay at a directory of their own
    const dir = this.process > 0 ? this.process % this.port.sides : this.port.side(way)
    const request: Request = { call, args, dir, uid, gid, groups, umask: this.mask }
    const through = this.port.sides > 1 && way !== 'descriptor' ? ` through directory ${dir + 1}` : ''
    const what = `${call}(${args.map(shown).join(', ')})${uid === 0 ? '' : ` by ${name}`}${through}`
    const promise = this.port.agent(this.process).call(request, what) as Promise<T>
    return Object.assign(promise, { what })
  }

  open(path: string, flags: string, mode = 0o644): Pending<Handle> {
    return this.#send(/CREAT|TRUNC/.test(flags) ? 'change' : 'look', 'open', path, flags, mode)
  }
  close(handle: Handle): Pending<null> {
    return this.#send('descriptor', 'close', handle)
  }
  read(handle: Handle, length: number): Pending<string> {
    return this.#send('descriptor', 'read', handle, length)
  }
  write(handle: Handle, data: string): Pending<number> {
    return this.#send('descriptor', 'write', handle, data)
  }
  pread(handle: Handle, length: number, offset: Integer): Pending<string> {
    return this.#send('descriptor', 'pread', handle, length, offset)
  }
  pwrite(handle: Handle, data: string, offset: Integer): Pending<number> {
    return this.#send('descriptor', 'pwrite', handle, data, offset)
  }
  readv(handle: Handle, lengths: readonly number[]): Pending<string> {
    return this.#send('descriptor', 'readv', handle, lengths)
  }
  writev(handle: Handle, parts: readonly string[]): Pending<number> {
    return this.#send('descriptor', 'writev', handle, parts)
  }
  lseek(handle: Handle, offset: Integer, whence: 'SET' | 'CUR' | 'END' | 'DATA' | 'HOLE' | number): Pending<Integer> {
    return this.#send('descriptor', 'lseek', handle, offset, whence)
  }
  ftruncate(handle: Handle, size: Integer): Pending<null> {
    return this.#send('descriptor', 'ftruncate', handle, size)
  }
  fsync(handle: Handle): Pending<null> {
    return this.#send('descriptor', 'fsync', handle)
  }
  fdatasync(handle: Handle): Pending<null> {
    return this.#send('descriptor', 'fdatasync', handle)
  }
  fstat(handle: Handle): Pending<Attributes> {
    return this.#send('descriptor', 'fstat', handle)
  }
  fchmod(handle: Handle, mode: number): Pending<null> {
    return this.#send('descriptor', 'fchmod', handle, mode)
  }
  fchown(handle: Handle, uid: number, gid: number): Pending<null> {
    return this.#send('descriptor', 'fchown', handle, uid, gid)
  }
  futimens(handle: Handle, times: readonly [TimeToSet, TimeToSet] | null): Pending<null> {
    return this.#send('descriptor', 'futimens', handle, times)
  }
  dup(handle: Handle): Pending<Handle> {
    return this.#send('descriptor', 'dup', handle)
  }
  fallocate(handle: Handle, offset: Integer, length: Integer): Pending<null> {
    return this.#send('descriptor', 'fallocate', handle, offset, length)
  }
  mapRead(handle: Handle, length: number, offset = 0): Pending<string> {
    return this.#send('descriptor', 'mapRead', handle, length, offset)
  }
  mapWrite(handle: Handle, length: number, at: number, data: string): Pending<null> {
    return this.#send('descriptor', 'mapWrite', handle, length, at, data)
  }
  append(handle: Handle, tag: string, length: number, count: number): Pending<null> {
    return this.#send('descriptor', 'append', handle, tag, length, count)
  }
  /** The next entries, as many as fit `size` bytes; none at the end. */
  getdents(handle: Handle, size: number): Pending<Entry[]> {
    return this.#send('descriptor', 'getdents', handle, size)
  }
  openAt(directory: Handle, path: string, flags: string, mode = 0o644): Pending<Handle> {
    return this.#send('descriptor', 'openAt', directory, path, flags, mode)
  }
  mkdirAt(directory: Handle, path: string, mode = 0o755): Pending<null> {
    return this.#send('descriptor', 'mkdirAt', directory, path, mode)
  }
  fstatvfs(handle: Handle): Pending<Statvfs> {
    return this.#send('descriptor', 'fstatvfs', handle)
  }
  fchdir(handle: Handle): Pending<null> {
    return this.#send('descriptor', 'fchdir', handle)
  }

  stat(path: string): Pending<Attributes> {
    return this.#send('look', 'stat', path)
  }
  lstat(path: string): Pending<Attributes> {
    return this.#send('look', 'lstat', path)
  }
  readlink(path: string): Pending<string> {
    return this.#send('look', 'readlink', path)
  }
  access(path: string, mode: number): Pending<null> {
    return this.#send('look', 'access', path, mode)
  }
  eaccess(path: string, mode: number): Pending<null> {
    return this.#send('look', 'eaccess', path, mode)
  }
  list(path: string): Pending<string[]> {
    return this.#send('look', 'list', path)
  }
  readFile(path: string): Pending<string> {
    return this.#send('look', 'readFile', path)
  }
  chdir(path: string): Pending<null> {
    return this.#send('look', 'chdir', path)
  }
  statvfs(path: string): Pending<Statvfs> {
    return this.#send('look', 'statvfs', path)
  }
  pathconf(path: string, name: string): Pending<number> {
    return this.#send('look', 'pathconf', path, name)
  }
  listings(path: string, rounds: number): Pending<string[][]> {
    return this.#send('look', 'listings', path, rounds)
  }
  /** RLIMIT_FSIZE for the rest of the case. */
  limitSize(size: number): Pending<null> {
    return new Calls(this.port, root, 0, this.process).#send('descriptor', 'limitSize', size)
  }
  /** Runs a program of the case. */
  start(path: string): Pending<Handle> {
    return this.#send('look', 'start', path)
  }
  end(program: Handle): Pending<null> {
    return this.#send('descriptor', 'end', program)
  }

  mkdir(path: string, mode = 0o755): Pending<null> {
    return this.#send('change', 'mkdir', path, mode)
  }
  rmdir(path: string): Pending<null> {
    return this.#send('change', 'rmdir', path)
  }
  /** Opens with O_CREAT|O_EXCL and closes. */
  create(path: string, mode = 0o644): Pending<null> {
    return this.#send('change', 'create', path, mode)
  }
  /** The file has exactly this content; made with mode 644 when it is missing. */
  writeFile(path: string, data: string): Pending<null> {
    return this.#send('change', 'writeFile', path, data)
  }
  link(old: string, path: string): Pending<null> {
    return this.#send('change', 'link', old, path)
  }
  linkFollowing(old: string, path: string): Pending<null> {
    return this.#send('change', 'linkFollowing', old, path)
  }
  unlink(path: string): Pending<null> {
    return this.#send('change', 'unlink', path)
  }
  symlink(target: string, path: string): Pending<null> {
    return this.#send('change', 'symlink', target, path)
  }
  rename(old: string, path: string): Pending<null> {
    return this.#send('change', 'rename', old, path)
  }
  mknod(path: string, type: Kind, mode = 0o644, device: readonly [number, number] = [0, 0]): Pending<null> {
    return this.#send('change', 'mknod', path, type, mode, device)
  }
  chmod(path: string, mode: number): Pending<null> {
    return this.#send('change', 'chmod', path, mode)
  }
  chown(path: string, uid: number, gid: number): Pending<null> {
    return this.#send('change', 'chown', path, uid, gid)
  }
  lchown(path: string, uid: number, gid: number): Pending<null> {
    return this.#send('change', 'lchown', path, uid, gid)
  }
  utimens(path: string, times: readonly [TimeToSet, TimeToSet] | null): Pending<null> {
    return this.#send('change', 'utimens', path, times)
  }
  lutimens(path: string, times: readonly [TimeToSet, TimeToSet] | null): Pending<null> {
    return this.#send('change', 'lutimens', path, times)
  }
  truncate(path: string, size: Integer): Pending<null> {
    return this.#send('change', 'truncate', path, size)
  }
  makeMany(prefix: string, first: number, count: number): Pending<null> {
    return this.#send('change', 'makeMany', prefix, first, count)
  }
  churn(prefix: string, count: number, rounds: number): Pending<null> {
    return this.#send('change', 'churn', prefix, count, rounds)
  }
  /** Outcomes of many calls, made one after the other by this process. */
  tally(attempts: readonly (readonly [string, readonly unknown[]])[]): Pending<Record<string, number>> {
    return this.#send('change', 'tally', attempts)
  }
  now(): Pending<Time> {
    return this.#send('descriptor', 'now')
  }
}

/** An argument in a report: long text is cut. */
function shown(value: unknown): string {
  if (typeof value === 'string' && value.length > 40)
    return `${JSON.stringify(value.slice(0, 24))}… (${value.length} bytes)`
  if (Array.isArray(value) && value.length > 4) return `[… ${value.length}]`
  return JSON.stringify(value)
}
