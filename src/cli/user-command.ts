/** `matrix user`: who may use HTTP and WebDAV, in the file that [http] users of matrixd's configuration names. */
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { Command } from 'commander'
import { MatrixError } from '../base/errors.ts'
import {
  keepPassword,
  newToken,
  PASSWORD_MAX_BYTES,
  PASSWORD_MIN,
  readUserFile,
  type UserFile,
  type UserRecord,
  writeUserFile,
} from '../export/index.ts'
import { UsageError } from './option-values.ts'
import { formatTable, type JsonOption, sayResult, withJson } from './table.ts'

type FileOption = JsonOption & { readonly users: string }
type AddOptions = FileOption & {
  readonly uid: number
  readonly gid: number
  readonly group: readonly string[]
  readonly password: boolean
}
type TokenOptions = FileOption & { readonly label: string; readonly days?: number; readonly revoke?: boolean }

const DEFAULT_FILE = '/etc/matrixfs/users.toml'
const DAY_MS = 86_400_000

export function userCommand(): Command {
  return new Command('user')
    .description('add, list and remove users of HTTP and WebDAV, set their passwords, give tokens to their programs')
    .addCommand(
      withFile(new Command('add'))
        .description('add a user; the password is asked for, or read from standard input')
        .argument('<name>', 'the new user')
        .requiredOption('--uid <number>', 'user id in the filesystem', idOf)
        .requiredOption('--gid <number>', 'group id in the filesystem', idOf)
        .option('--group <name=gid>', 'a further group; may be repeated', (text, all: string[]) => [...all, text], [])
        .option('--no-password', 'the user has tokens only')
        .addHelpText(
          'after',
          '\nExamples:\n  matrix user add ann --uid 1000 --gid 1000 --group staff=100\n  matrix user add backup --uid 34 --gid 34 --no-password',
        )
        .action(add),
    )
    .addCommand(
      withFile(new Command('passwd'))
        .description('set a new password; it is asked for, or read from standard input')
        .argument('<name>', 'the user')
        .addHelpText('after', '\nExample:\n  matrix user passwd ann')
        .action(passwd),
    )
    .addCommand(
      withFile(new Command('token'))
        .description('make a token for a program of the user, sent as "Authorization: Bearer TOKEN"; it is shown once')
        .argument('<name>', 'the user')
        .requiredOption('--label <text>', 'what it is for: a later one with this label replaces it')
        .option('--days <number>', 'for how many days it is good (default: for ever)', idOf)
        .option('--revoke', 'remove the token with this label instead')
        .addHelpText(
          'after',
          '\nExamples:\n  matrix user token ann --label backup --days 365\n  matrix user token ann --label backup --revoke',
        )
        .action(token),
    )
    .addCommand(
      withFile(new Command('remove'))
        .description('remove a user')
        .argument('<name>', 'the user')
        .addHelpText('after', '\nExample:\n  matrix user remove ann')
        .action(remove),
    )
    .addCommand(
      withFile(new Command('list'))
        .description('list the users, with their groups and the labels of their tokens')
        .addHelpText('after', '\nExample:\n  matrix user list --json')
        .action(list),
    )
    .addHelpText(
      'after',
      `
Every node reads its own copy of the file (copy it to all of them), and takes a change within a second.

Examples:
  matrix user add ann --uid 1000 --gid 1000 --group staff=100
  matrix user token ann --label backup --days 365`,
    )
}

function withFile(command: Command): Command {
  return withJson(command).option('--users <file>', 'the file with the users', DEFAULT_FILE)
}

function idOf(text: string): number {
  const id = Number(text)
  if (!/^\d{1,10}$/.test(text) || id >= 2 ** 32 - 1) throw new UsageError(`${text} is no number 0…4294967294`)
  return id
}

async function add(name: string, options: AddOptions): Promise<void> {
  const file = existsSync(options.users) ? readUserFile(options.users) : { users: [], groups: [] }
  if (file.users.some((user) => user.name === name)) throw new MatrixError('exists', `there is a user ${name} already`)
  const groups = [...file.groups]
  const names = options.group.map((text) => {
    const [, group, gid] = /^([^=]+)(?:=(\d+))?$/.exec(text) ?? []
    if (group === undefined) throw new UsageError(`--group ${text}: expected NAME=GID, such as staff=100`)
    const known = groups.find((each) => each.name === group)
    if (known && gid !== undefined && known.gid !== idOf(gid))
      throw new MatrixError('exists', `group ${group} has gid ${known.gid}`)
    if (!known) {
      if (gid === undefined)
        throw new UsageError(`--group ${text}: there is no such group yet, say its gid: ${group}=GID`)
      groups.push({ name: group, gid: idOf(gid) })
    }
    return group
  })
  const password = options.password ? await keepPassword(await askPassword(name)) : undefined
  const { uid, gid } = options
  const user: UserRecord = { name, uid, gid, groups: names, tokens: [], ...(password !== undefined && { password }) }
  writeUserFile(options.users, { users: [...file.users, user], groups })
  sayResult(options.json, { name, uid, gid, groups: names }, `${name} may use what uid ${uid} may`)
}

async function passwd(name: string, { users: path, json }: FileOption): Promise<void> {
  const file = readUserFile(path)
  const user = userIn(file, name)
  const password = await keepPassword(await askPassword(name))
  writeUserFile(path, replaced(file, { ...user, password }))
  sayResult(json, { name }, `${name} has a new password`)
}

function token(name: string, { users: path, label, days, revoke, json }: TokenOptions): void {
  const file = readUserFile(path)
  const user = userIn(file, name)
  const others = user.tokens.filter((each) => each.label !== label)
  if (revoke) {
    if (others.length === user.tokens.length) throw new MatrixError('not-found', `${name} has no token ${label}`)
    writeUserFile(path, replaced(file, { ...user, tokens: others }))
    sayResult(json, { name, label }, `token ${label} of ${name} is no longer good`)
    return
  }
  const { secret, record } = newToken(label, days === undefined ? undefined : new Date(Date.now() + days * DAY_MS))
  writeUserFile(path, replaced(file, { ...user, tokens: [...others, record] }))
  sayResult(json, { name, label, token: secret }, secret)
}

function remove(name: string, { users: path, json }: FileOption): void {
  const file = readUserFile(path)
  userIn(file, name)
  writeUserFile(path, { ...file, users: file.users.filter((user) => user.name !== name) })
  sayResult(json, { name }, `${name} is removed`)
}

function list({ users: path, json }: FileOption): void {
  const { users, groups } = readUserFile(path)
  const gidOf = (name: string) => groups.find((group) => group.name === name)?.gid
  const rows = users.map((user) => [
    user.name,
    String(user.uid),
    String(user.gid),
    user.groups.map((group) => `${group}=${gidOf(group)}`).join(', ') || '-',
    user.password === undefined ? 'no' : 'yes',
    user.tokens.map(({ label, expires }) => (expires ? `${label} until ${expires.slice(0, 10)}` : label)).join(', ') ||
      '-',
  ])
  const listed = users.map(({ name, uid, gid, groups: of, password, tokens }) => ({
    ...{ name, uid, gid, hasPassword: password !== undefined },
    groups: of.map((group) => ({ name: group, gid: gidOf(group) })),
    tokens: tokens.map(({ label, expires }) => ({ label, expires })),
  }))
  sayResult(
    json,
    listed,
    users.length === 0
      ? 'there are no users'
      : formatTable(['user', 'uid', 'gid', 'groups', 'password', 'tokens'], rows),
  )
}

function userIn(file: UserFile, name: string): UserRecord {
  const user = file.users.find((each) => each.name === name)
  if (!user) throw new MatrixError('not-found', `there is no user ${name}`)
  return user
}

function replaced(file: UserFile, user: UserRecord): UserFile {
  return { ...file, users: file.users.map((each) => (each.name === user.name ? user : each)) }
}

/** From the terminal without showing it, twice; or the first line of standard input. */
async function askPassword(name: string): Promise<string> {
  const { stdin, stderr } = process
  const isTerminal = stdin.isTTY === true
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: stdin, output: isTerminal ? silent : undefined, terminal: isTerminal })
  const read = async (prompt: string): Promise<string> => {
    if (isTerminal) stderr.write(prompt)
    const next = await lines[Symbol.asyncIterator]().next()
    if (isTerminal) stderr.write('\n')
    return next.done ? '' : String(next.value)
  }
  try {
    const password = await read(`Password of ${name}: `)
    if ([...password].length < PASSWORD_MIN) throw new UsageError(`a password has at least ${PASSWORD_MIN} characters`)
    if (Buffer.byteLength(`${name}:${password}`) > PASSWORD_MAX_BYTES)
      throw new UsageError(`user and password have at most ${PASSWORD_MAX_BYTES} bytes`)
    if (isTerminal && (await read('Once more: ')) !== password) throw new UsageError('these were two passwords')
    return password
  } finally {
    lines.close()
  }
}
