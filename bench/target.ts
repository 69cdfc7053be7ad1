/** A server to be measured: an NFSv3 export, and the processes whose CPU time counts. */
import { readdirSync, readFileSync } from 'node:fs'

export type Target = {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly mountPort: number
  readonly export: string
  /** Of the server; its children count, too. Undefined: its CPU time is not known. */
  readonly pid: number | undefined
}

/** `name=nfs://127.0.0.1:2049/export?mountport=20048#pid=4711`; also `#pidfile=PATH`. Throws an Error that says what is wrong. */
export function parseTarget(text: string): Target {
  const [, name, url] = /^([^=]+)=(nfs:.+)$/.exec(text) ?? []
  if (!name || !url) throw new Error(`--peer ${text}: expected name=nfs://host:port/export?mountport=N#pid=N`)
  const { hostname, port, pathname, searchParams, hash } = new URL(url)
  const number = (value: string | null, what: string): number => {
    if (value && /^\d+$/.test(value)) return Number(value)
    throw new Error(`--peer ${name}: ${what} is a number, not "${value ?? ''}"`)
  }
  const [key, value = ''] = hash.slice(1).split('=')
  const pid = key === 'pid' ? value : key === 'pidfile' ? readFileSync(value, 'utf8').trim() : undefined
  return {
    name,
    host: hostname,
    port: number(port, 'port'),
    mountPort: number(searchParams.get('mountport') ?? port, 'mountport'),
    export: pathname,
    pid: pid === undefined ? undefined : number(pid, 'pid'),
  }
}

/** CPU time of the server's processes so far, µs; 0 when it is not known. */
export function cpuMicros({ pid }: Pick<Target, 'pid'>): number {
  if (pid === undefined) return 0
  let ticks = 0
  for (const each of readdirSync('/proc')) {
    if (!/^\d+$/.test(each)) continue
    const fields = statOf(each)
    if (Number(each) !== pid && fields?.[1] !== `${pid}`) continue
    ticks += Number(fields?.[11] ?? 0) + Number(fields?.[12] ?? 0)
  }
  return ticks * 10_000
}

/** Fields of /proc/PID/stat from the state on: [1] parent, [11] user and [12] system time in ticks of 10 ms. */
function statOf(pid: string): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // it has ended
  }
}
