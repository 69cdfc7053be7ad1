/**
 * Directories side by side, as maps of names: one object, since a rename may go from one to another. A name is '<directory>/<name>' of the
 * directories that stay for ever; what is made in them are files and directories, and these hold nothing but children without
 * further meaning (so that ENOTEMPTY and stale handles come up).
 *
 * Identity: an entry's `id` is the inode number where the protocol shows it. Where it does not (WebDAV, or an answer that never
 * came) the maker's token stands for it until somebody sees the number.
 *
 * Errors are answers, in the filesystem's own words; where POSIX leaves the choice, all of it is allowed.
 */
import type { Model } from './model.ts'

export type Kind = 'file' | 'dir'
export type DirectoryCall =
  | { readonly kind: 'create'; readonly name: string; readonly exclusive: boolean; readonly token: string }
  /** A new file in the place of whatever file has the name. */
  | { readonly kind: 'mkdir' | 'put'; readonly name: string; readonly token: string }
  /** With `tolerant` a file that somebody else was faster to remove counts as removed, too. */
  | { readonly kind: 'unlink'; readonly name: string; readonly tolerant?: boolean }
  | { readonly kind: 'rmdir' | 'lookup' | 'present'; readonly name: string }
  | {
      readonly kind: 'rename'
      readonly name: string
      readonly to: string
      readonly noReplace?: boolean
      /** By somebody who looks both names up before he asks: what he refuses by himself may never have been so at one moment. */
      readonly lookedUp?: 'kernel' | 'gateway'
    }
  /** By handle: the file may have changed its name since. */
  | { readonly kind: 'link'; readonly id: string; readonly to: string }
  | { readonly kind: 'createIn' | 'removeIn'; readonly id: string; readonly child: string }
  /** Every name of one directory, as one answer. */
  | { readonly kind: 'list'; readonly directory: string }

export type Seen = { readonly type?: Kind; readonly id?: string }
export type DirectoryAnswer = {
  readonly error?: string
  readonly id?: string
  readonly type?: Kind
  /** Of a file: how many names it has. */
  readonly links?: number
  /** Of `present`. */
  readonly there?: boolean
  /** Of `list`: by name within the directory. */
  readonly entries?: Readonly<Record<string, Seen>>
}

type Entry = { readonly type: Kind; readonly id: string }
export type Directories = {
  readonly names: ReadonlyMap<string, Entry>
  /** `id/child` of directories that were made. */
  readonly children: ReadonlySet<string>
  key?: string
}

export const directories: Model<Directories, DirectoryCall, DirectoryAnswer> = {
  initial: { names: new Map(), children: new Set() },
  key: (state) => (state.key ??= keyOf(state)),
  step,
  readOnly: (call, answer) =>
    answer.error !== undefined || call.kind === 'lookup' || call.kind === 'present' || call.kind === 'list',
  tells(answer, calls) {
    const ids = [answer.id, ...Object.values(answer.entries ?? {}).map(({ id }) => id)]
    return calls.some((call) => 'id' in call && ids.includes(call.id))
  },
  describe,
  // each directory has a lock, and so has each inode: those of files cover how many names they have, of directories what is in them
  parts: { touched, restore },
}

function keyOf({ names, children }: Directories): string {
  const entries = [...names].map(([name, { type, id }]) => `${name}=${type === 'dir' ? 'd' : 'f'}${id}`)
  return `${entries.sort().join(' ')} | ${[...children].sort().join(' ')}`
}

function touched({ names }: Directories, call: DirectoryCall): readonly string[] {
  const parts = new Set<string>()
  const place = (name: string) => {
    parts.add(directoryOf(name))
    const entry = names.get(name)
    if (entry) parts.add(inodePart(entry.id))
  }
  if ('name' in call) place(call.name)
  if ('to' in call) place(call.to)
  if ('id' in call) parts.add(inodePart(call.id))
  if ('directory' in call) parts.add(`${call.directory}/`)
  return [...parts]
}

function restore(state: Directories, before: Directories, parts: readonly string[]): Directories {
  const isPart = (name: string) => parts.includes(directoryOf(name))
  const isChildOfPart = (child: string) => parts.includes(inodePart(child.slice(0, child.lastIndexOf('/'))))
  return {
    names: new Map([
      ...[...state.names].filter(([name]) => !isPart(name)),
      ...[...before.names].filter(([name]) => isPart(name)),
    ]),
    children: new Set([
      ...[...state.children].filter((child) => !isChildOfPart(child)),
      ...[...before.children].filter(isChildOfPart),
    ]),
  }
}

/** With its slash: no inode is called so. */
function directoryOf(name: string): string {
  return name.slice(0, name.lastIndexOf('/') + 1)
}

function inodePart(id: string): string {
  return `#${id}`
}

function step(state: Directories, call: DirectoryCall, answer: DirectoryAnswer | undefined): readonly Directories[] {
  const { names, children } = state
  switch (call.kind) {
    case 'create': {
      const entry = names.get(call.name)
      if (!entry) return done(answer, () => made(state, call.name, { type: 'file', id: answer?.id ?? call.token }))
      if (call.exclusive) return fails(state, answer, 'EEXIST')
      if (entry.type === 'dir') return fails(state, answer, 'EISDIR')
      return answer && !answer.error ? see(state, entry, answer) : []
    }
    case 'put':
      if (names.get(call.name)?.type === 'dir') return fails(state, answer, 'EISDIR')
      return done(answer, () =>
        made(without(state, call.name), call.name, { type: 'file', id: answer?.id ?? call.token }),
      )
    case 'mkdir':
      if (names.has(call.name)) return fails(state, answer, 'EEXIST')
      return done(answer, () => made(state, call.name, { type: 'dir', id: answer?.id ?? call.token }))
    case 'unlink': {
      const entry = names.get(call.name)
      if (!entry) return call.tolerant && answer && !answer.error ? [state] : fails(state, answer, 'ENOENT')
      if (entry.type === 'dir') return fails(state, answer, 'EISDIR', 'EPERM')
      return done(answer, () => [without(state, call.name)])
    }
    case 'rmdir': {
      const entry = names.get(call.name)
      if (!entry) return fails(state, answer, 'ENOENT')
      if (entry.type !== 'dir') return fails(state, answer, 'ENOTDIR')
      if (isFull(state, entry.id)) return fails(state, answer, 'ENOTEMPTY', 'EEXIST')
      return done(answer, () => [without(state, call.name)])
    }
    case 'rename':
      return rename(state, call, answer)
    case 'link': {
      const entry = [...names.values()].find(({ id }) => id === call.id)
      const errors = names.has(call.to) ? ['EEXIST'] : []
      if (!entry) errors.push('ESTALE', 'ENOENT')
      if (entry?.type === 'dir') errors.push('EPERM', 'EISDIR')
      if (!entry || errors.length > 0) return fails(state, answer, ...errors)
      return done(answer, () => [put(state, call.to, entry)])
    }
    case 'createIn':
    case 'removeIn': {
      const isThere = [...names.values()].some(({ type, id }) => type === 'dir' && id === call.id)
      if (!isThere) return fails(state, answer, 'ESTALE', 'ENOENT')
      const child = `${call.id}/${call.child}`
      if (call.kind === 'createIn' && children.has(child)) return fails(state, answer, 'EEXIST')
      if (call.kind === 'removeIn' && !children.has(child)) return fails(state, answer, 'ENOENT')
      return done(answer, () => {
        const changed = new Set(children)
        if (call.kind === 'createIn') changed.add(child)
        else changed.delete(child)
        return [{ names, children: changed }]
      })
    }
    case 'lookup': {
      const entry = names.get(call.name)
      if (!entry || !answer || answer.error) return entry && answer ? [] : fails(state, answer, 'ENOENT')
      return see(state, entry, answer)
    }
    case 'present':
      if (!answer) return []
      return answer.there === names.has(call.name) ? see(state, names.get(call.name), answer) : []
    case 'list':
      return list(state, call.directory, answer?.entries)
  }
}

function rename(
  state: Directories,
  { name, to, noReplace, lookedUp }: Extract<DirectoryCall, { kind: 'rename' }>,
  answer: DirectoryAnswer | undefined,
): readonly Directories[] {
  const entry = state.names.get(name)
  const over = state.names.get(to)
  if (lookedUp && answer?.error && ['EISDIR', 'ENOTDIR', 'EEXIST'].includes(answer.error)) return [state]
  // the kernel sees one file under both names when another client takes it from the one to the other between its look-ups
  if (lookedUp === 'kernel' && answer && !answer.error && !entry && over) return [state]
  if (!entry) return fails(state, answer, 'ENOENT')
  if (over && noReplace) return fails(state, answer, 'EEXIST')
  if (over?.id === entry.id) return answer && !answer.error ? [state] : []
  if (over && entry.type === 'dir' && over.type !== 'dir') return fails(state, answer, 'ENOTDIR')
  if (over && entry.type !== 'dir' && over.type === 'dir') return fails(state, answer, 'EISDIR')
  if (over?.type === 'dir' && isFull(state, over.id)) return fails(state, answer, 'ENOTEMPTY', 'EEXIST')
  return done(answer, () => [put(without(state, name), to, entry)])
}

function list(
  state: Directories,
  directory: string,
  seen: Readonly<Record<string, Seen>> | undefined,
): readonly Directories[] {
  if (!seen) return []
  const own = [...state.names].filter(([name]) => name.startsWith(`${directory}/`))
  if (own.length !== Object.keys(seen).length) return []
  let states: readonly Directories[] = [state]
  for (const [name] of own) {
    const found = seen[name.slice(directory.length + 1)]
    if (!found) return []
    // seeing one number may have settled what stands under another name
    states = states.flatMap((known) => see(known, known.names.get(name), found))
  }
  return states
}

/** Success: the new states; nothing when the answer was an error. */
function done(answer: DirectoryAnswer | undefined, states: () => readonly Directories[]): readonly Directories[] {
  return answer?.error === undefined ? states() : []
}

/** These errors are right here, and nothing has changed. An open outcome that can only have failed has done nothing. */
function fails(state: Directories, answer: DirectoryAnswer | undefined, ...errors: string[]): readonly Directories[] {
  return answer?.error !== undefined && errors.includes(answer.error) ? [state] : []
}

/** The entry is what the answer says, as far as it says something. */
function see(state: Directories, entry: Entry | undefined, answer: DirectoryAnswer): readonly Directories[] {
  if (!entry) return [state]
  if (answer.type && answer.type !== entry.type) return []
  if (answer.links !== undefined && entry.type === 'file') {
    let links = 0
    for (const { id } of state.names.values()) if (id === entry.id) links++
    if (links !== answer.links) return []
  }
  if (answer.id === undefined || answer.id === entry.id) return [state]
  return isToken(entry.id) ? settle(state, entry.id, answer.id) : []
}

/** Numbers are digits; anything else stands for one that nobody has seen yet. */
function isToken(id: string): boolean {
  return !/^[0-9]+$/.test(id)
}

function settle(state: Directories, token: string, id: string): readonly Directories[] {
  for (const entry of state.names.values()) if (entry.id === id) return []
  const names = new Map(state.names)
  for (const [name, entry] of names) if (entry.id === token) names.set(name, { type: entry.type, id })
  const children = new Set(
    [...state.children].map((child) => (child.startsWith(`${token}/`) ? id + child.slice(token.length) : child)),
  )
  return [{ names, children }]
}

function isFull({ children }: Directories, id: string): boolean {
  for (const child of children) if (child.startsWith(`${id}/`)) return true
  return false
}

/** A new inode has a number of its own. */
function made(state: Directories, name: string, entry: Entry): readonly Directories[] {
  for (const { id } of state.names.values()) if (id === entry.id) return []
  return [put(state, name, entry)]
}

function put({ names, children }: Directories, name: string, entry: Entry): Directories {
  return { names: new Map(names).set(name, entry), children }
}

function without({ names, children }: Directories, name: string): Directories {
  const rest = new Map(names)
  rest.delete(name)
  return { names: rest, children }
}

function describe(call: DirectoryCall, answer: DirectoryAnswer | undefined): string {
  const { kind, ...what } = call
  const words = Object.entries(what)
    .filter(([key]) => key !== 'token')
    .map(([key, value]) => (typeof value === 'boolean' ? (value ? key : '') : `${value}`))
  const said = !answer
    ? ', no answer'
    : `: ${answer.error ?? ([answer.there === undefined ? '' : answer.there ? 'there' : 'not there', answer.type, answer.id && `#${answer.id}`, answer.links && `${answer.links} links`, answer.entries && `{${Object.keys(answer.entries).sort().join(' ')}}`].filter(Boolean).join(' ') || 'done')}`
  return `${[kind, ...words].filter(Boolean).join(' ')}${said}`
}
