/** [admin] of a configuration: its keys, how they fit each other, and what the program gets. */
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import type { MatrixdConfig } from './config.ts'
import type { ConfigFiles } from './files.ts'
import { privateLine } from './private-file.ts'
import { tlsKeyProblems, tlsKeys, tlsOf } from './tls-keys.ts'
import { address, formatAddress, isLoopback, oneOf, path, text } from './values.ts'

/** Somebody, or a group, of the users' file. */
const someone = (about: string) =>
  text(
    about,
    'the name of a user of the file, "@" and that of a group, or "*" for all of them',
    (written) => written === '*' || /^@?[^\p{C}\s:/\\"<>@*]{1,64}$/u.test(written),
  )

function isRedisUrl(written: string): boolean {
  if (/^unix:\/[^\0\s]+$/.test(written)) return true
  return /^rediss?:\/\/(?:[^\s/:@]+@)?(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:\/\d{0,4})?$/.test(written)
}

export const admin = v.strictObject({
  listen: address(
    'Where the [admin plane](admin.md) is served: dashboard, API and metrics. An address that others can reach needs `users` and `tls_cert`.',
  ),
  ...tlsKeys,
  users: v.optional(
    path(
      'File with the users that may log in, as `matrix user` writes it; it may be that of `[http]`. Without it whoever has an account on this machine may do what `anonymous` says. Taken anew when it changes.',
    ),
  ),
  viewers: v.optional(v.array(someone('Users who may look.')), []),
  operators: v.optional(v.array(someone('Users who may act, and look.')), []),
  anonymous: v.optional(
    oneOf('Without `users`: whether everybody on this machine may only look, or act, too. Default: `viewer`.', [
      'viewer',
      'operator',
    ]),
  ),
  redis: v.optional(
    text(
      'The Redis that keeps the [jobs](admin.md#jobs), the same for all nodes; 6.2 or newer, with `maxmemory-policy noeviction`. Default: the administrator has one of its own, by `redis-server` where that is installed.',
      'redis://HOST[:6379][/DB], rediss://… with TLS, or unix: and an absolute path; without a password, which belongs into `redis_password_file`',
      isRedisUrl,
    ),
  ),
  redis_password_file: v.optional(
    path('File whose first line is the password of that Redis. Only its owner may be able to read it.'),
  ),
})
type WrittenAdmin = v.InferOutput<typeof admin>

/** What of [admin] does not fit together. */
export function adminProblems(file: string, written: Partial<WrittenAdmin> | undefined, files: ConfigFiles): string[] {
  if (typeof written !== 'object' || written === null) return []
  const { listen, users, viewers = [], operators = [], anonymous } = written
  const problems = tlsKeyProblems('admin', written, file, files)
  if (listen !== undefined && typeof listen === 'object' && !isLoopback(listen.host))
    for (const needed of ['users', 'tls_cert'] as const)
      if (written[needed] === undefined)
        problems.push(
          `admin.${needed}: missing; others reach ${formatAddress(listen)}, and nobody may look there without it`,
        )
  if (users === undefined && (viewers.length > 0 || operators.length > 0))
    problems.push('admin.users: missing; admin.viewers and admin.operators are users of that file')
  if (users !== undefined && viewers.length === 0 && operators.length === 0)
    problems.push('admin.operators: nobody; with admin.users somebody has to be among admin.operators or admin.viewers')
  if (users !== undefined && anonymous !== undefined)
    problems.push(`admin.anonymous: "${anonymous}"; with admin.users everybody logs in: leave it out`)
  return problems
}

/** The first line of its file; undefined without one, or after adding to `problems`. */
export function readRedisPassword(
  file: string,
  written: Partial<WrittenAdmin> | undefined,
  files: ConfigFiles,
  problems: string[],
): string | undefined {
  if (typeof written !== 'object' || written === null || typeof written.redis_password_file !== 'string')
    return undefined
  const key = 'admin.redis_password_file'
  if (written.redis === undefined) {
    problems.push(`${key}: there is no admin.redis; add it, or leave this out`)
    return undefined
  }
  const path = resolve(dirname(file), written.redis_password_file)
  const password = privateLine(key, path, files, problems)
  if (password === '') problems.push(`${key}: the first line of ${path} is empty; allowed is the password of the Redis`)
  return password === '' ? undefined : password
}

export function adminOf(
  folder: string,
  written: WrittenAdmin,
  password: string | undefined,
): NonNullable<MatrixdConfig['admin']> {
  const { listen, users, viewers, operators, anonymous = 'viewer', redis } = written
  const at = (path: string) => resolve(folder, path)
  return {
    listen,
    ...tlsOf(folder, written),
    access: users === undefined ? { anonymous } : { users: at(users), viewers, operators },
    ...(redis !== undefined && { redis: { url: redis, ...(password !== undefined && { password }) } }),
  }
}
