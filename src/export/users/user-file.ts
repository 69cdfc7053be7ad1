/**
 * The users of a matrix's gateways in a TOML file: who they are to the filesystem, and how they prove it. `matrix user` writes it; every node
 * reads its own copy.
 *
 *     [[users]]
 *     name = "ann"
 *     uid = 1000
 *     gid = 1000
 *     groups = ["staff"]
 *     password = "scrypt:…"            # may be missing: tokens only
 *     tokens = [{ label = "laptop", sha256 = "…", expires = "2027-01-01T00:00:00.000Z" }]
 *
 *     [[groups]]
 *     name = "staff"
 *     gid = 100
 */
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { parse, stringify, TomlError } from 'smol-toml'
import * as v from 'valibot'
import { MatrixError } from '../../base/errors.ts'
import { isKeptPassword } from './passwords.ts'

const MAX_ID = 2 ** 32 - 2
const MAX_USERS = 100_000

const name = v.pipe(
  v.string(),
  v.regex(/^[^\p{C}\s:/\\"<>]{1,64}$/u, 'a name of 1…64 characters without spaces, and none of : / \\ " < >'),
)
const id = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_ID))

const token = v.strictObject({
  label: name,
  /** Of the token as it is sent, in hexadecimal. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits')),
  expires: v.optional(v.pipe(v.string(), v.isoTimestamp('a time such as "2027-01-01T00:00:00Z"'))),
})

const schema = v.strictObject({
  users: v.optional(
    v.pipe(
      v.array(
        v.strictObject({
          name,
          uid: id,
          gid: id,
          groups: v.optional(v.array(name), []),
          password: v.optional(
            v.pipe(v.string(), v.check(isKeptPassword, 'a password as matrix user passwd writes it')),
          ),
          tokens: v.optional(v.array(token), []),
        }),
      ),
      v.maxLength(MAX_USERS),
    ),
    [],
  ),
  groups: v.optional(v.array(v.strictObject({ name, gid: id })), []),
})

export type UserFile = v.InferOutput<typeof schema>
export type UserRecord = UserFile['users'][number]
export type TokenRecord = UserRecord['tokens'][number]

/** Throws MatrixError 'config' that names the file and what is wrong in it. */
export function parseUserFile(file: string, text: string): UserFile {
  let written: unknown
  try {
    written = parse(text)
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    throw new MatrixError('config', `${file}:${cause.line}:${cause.column}: ${cause.message.split('\n')[0]}`, { cause })
  }
  const result = v.safeParse(schema, written)
  if (!result.success) {
    const lines = result.issues.map((issue) => `  ${v.getDotPath(issue) ?? 'the file'}: ${issue.message}`)
    throw new MatrixError('config', `${file}: what is written there is no list of users\n${lines.join('\n')}`)
  }
  const problems = [
    ...twice('user', result.output.users),
    ...twice('group', result.output.groups),
    ...result.output.users.flatMap((user) =>
      user.groups
        .filter((group) => !result.output.groups.some((known) => known.name === group))
        .map((group) => `user ${user.name}: there is no group ${group} among [[groups]]`),
    ),
  ]
  if (problems.length > 0) throw new MatrixError('config', `${file}: ${problems.join('\n  ')}`)
  return result.output
}

function twice(what: string, named: readonly { readonly name: string }[]): string[] {
  const seen = new Set<string>()
  return named.flatMap(({ name }) => {
    if (seen.has(name)) return [`${what} ${name} is there twice`]
    seen.add(name)
    return []
  })
}

/** Rejects as `parseUserFile`; also when others than its owner may read it. */
export function readUserFile(file: string): UserFile {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
    const mode = statSync(file).mode & 0o777
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new MatrixError('config', `${file} has mode ${mode.toString(8)}; allowed is 600 or 400 (chmod 600 ${file})`)
    }
  } catch (cause) {
    if (cause instanceof MatrixError) throw cause
    throw new MatrixError('config', `the users cannot be read: ${String(cause)}`, { cause })
  }
  return parseUserFile(file, text)
}

/** The old file or the new is there, whole, and readable for its owner alone. */
export function writeUserFile(file: string, { users, groups }: UserFile): void {
  const text = `# Written by matrix user; read by matrixd within a second.\n${stringify({ users, groups })}\n`
  parseUserFile(file, text)
  const temporary = `${file}.${randomBytes(6).toString('hex')}`
  writeFileSync(temporary, text, { mode: 0o600, flag: 'wx', flush: true })
  chmodSync(temporary, 0o600)
  renameSync(temporary, file)
}

const TOKEN_PREFIX = 'mxt_'

/** A new secret for programs, and what is kept of it. */
export function newToken(label: string, expires?: Date): { readonly secret: string; readonly record: TokenRecord } {
  const secret = TOKEN_PREFIX + randomBytes(32).toString('base64url')
  return { secret, record: { label, sha256: sha256(secret), ...(expires && { expires: expires.toISOString() }) } }
}

/** True for what `newToken` has made, and only looks like it. */
export function isOwnToken(secret: string): boolean {
  return secret.startsWith(TOKEN_PREFIX)
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
