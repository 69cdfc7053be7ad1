/**
 * Where a Redis is and how it is reached, with two connections per node that behave differently when it is not:
 *
 *   asking     for people: a command fails at once while there is no connection, and is never sent twice
 *   working    for workers: commands wait until Redis is back, however long that takes (BullMQ wants `maxRetriesPerRequest: null`)
 *
 * Both try again for ever, at most every 2 s. The password is in the options of the connections and nowhere else: it is in no message and no log.
 */
import { Redis, type RedisOptions } from 'ioredis'
import { MatrixError } from '../../base/errors.ts'

export type RedisPlace = {
  /** For people; without the password. */
  readonly shown: string
  readonly options: RedisOptions
}

const RECONNECT_MS = 100
const RECONNECT_MOST_MS = 2_000
const CONNECT_LIMIT_MS = 2_000
/** A connection over which nothing has come for so long is taken for dead by the system, ms. */
const KEEP_ALIVE_MS = 10_000
/** BullMQ's scripts want at least this; what Debian has is newer. */
const OLDEST = [6, 2] as const

/** `redis://host[:port][/db]`, `rediss://…` (TLS), or `unix:/path`. */
export function redisPlace(url: string, password: string | undefined): RedisPlace {
  const secret = password === undefined ? {} : { password }
  if (url.startsWith('unix:')) return { shown: url, options: { path: url.slice('unix:'.length), ...secret } }
  const { protocol, hostname, port, pathname, username } = new URL(url)
  return {
    shown: url,
    options: {
      host: hostname.replace(/^\[(.*)\]$/, '$1'),
      port: port === '' ? 6379 : Number(port),
      db: Number(pathname.slice(1) || 0),
      ...secret,
      ...(username !== '' && { username: decodeURIComponent(username) }),
      ...(protocol === 'rediss:' && { tls: {} }),
    },
  }
}

export function connect(
  { options }: RedisPlace,
  purpose: 'asking' | 'working',
  onError: (error: Error) => void,
): Redis {
  const client = new Redis({
    ...options,
    connectTimeout: CONNECT_LIMIT_MS,
    keepAlive: KEEP_ALIVE_MS,
    retryStrategy: (times) => Math.min(RECONNECT_MOST_MS, RECONNECT_MS * times),
    ...(purpose === 'asking'
      ? { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: CONNECT_LIMIT_MS }
      : { maxRetriesPerRequest: null }),
  })
  // without a listener every failed attempt would be printed, and end the process
  client.on('error', onError)
  return client
}

/** Rejects with MatrixError 'config' when this Redis cannot keep jobs: what it is, what is needed. */
export async function checkRedis(client: Redis, shown: string): Promise<void> {
  const info = new Map(
    (await client.info()).split(/\r?\n/).flatMap((line): [string, string][] => {
      const at = line.indexOf(':')
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]]
    }),
  )
  const version = info.get('redis_version') ?? 'of no version'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (!(major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])))
    throw new MatrixError('config', `Redis at ${shown} is ${version}; jobs need ${OLDEST.join('.')} or newer`)
  const policy = info.get('maxmemory_policy') ?? 'noeviction'
  if (policy !== 'noeviction')
    throw new MatrixError(
      'config',
      `Redis at ${shown} throws keys away when it is full (maxmemory-policy ${policy}), and jobs with them; set it to noeviction`,
    )
  if (info.get('role') === 'slave')
    throw new MatrixError('config', `Redis at ${shown} is a replica, which takes no changes; name its primary`)
}

/** One question, over a connection of its own that is tried once. Rejects with what the client tells. */
export async function askOnce<T>(options: RedisOptions, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ ...options, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
  client.on('error', () => {}) // the question fails, too
  try {
    await client.connect()
    return await question(client)
  } finally {
    client.disconnect()
  }
}

/** What an error of Redis, its client or BullMQ means to people; a MatrixError is passed on as it is. */
export function explainRedis(error: unknown, shown: string): Error {
  if (error instanceof MatrixError) return error
  const message = error instanceof Error ? error.message : String(error)
  const told = (code: 'busy' | 'config' | 'no-space', what: string): MatrixError =>
    new MatrixError(code, `Redis at ${shown} ${what}`, { cause: error })
  if (/^(OOM|MISCONF)\b/.test(message)) return told('no-space', `is full, and keeps nothing new: ${message}`)
  if (/^(NOAUTH|WRONGPASS|NOPERM)\b/.test(message) || /AUTH/.test(message))
    return told('config', 'does not take the password; it belongs into redis_password_file')
  if (/^LOADING\b/.test(message)) return told('busy', 'has just started, and reads what it had: ask again in a moment')
  if (/^READONLY\b/.test(message)) return told('config', 'is a replica, which takes no changes; name its primary')
  if (isConnectionError(error, message))
    return told(
      'busy',
      `does not answer (${message}); jobs wait, and go on once it is back. Files are served without it`,
    )
  return error instanceof Error ? error : new Error(message)
}

function isConnectionError(error: unknown, message: string): boolean {
  const { code = '' } = error as { readonly code?: string }
  return (
    /^E[A-Z]+$/.test(code) ||
    /ECONN|ENOENT|EPIPE|ETIMEDOUT|isn't writeable|Connection is closed|Command timed out|max retries per request/i.test(
      message,
    )
  )
}
