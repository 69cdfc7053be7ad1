/** What `[[services]]` and `[[devices]]` mean to the program, and what does not fit together in them. */
import type { PeerAddress } from '../src/platform/transport.ts'
import type { ProbeTarget, Service } from '../src/services/index.ts'
import type { ConfigFile } from './schema.ts'

type Table = Readonly<Record<string, unknown>>

/** Keys that say what is probed, by kind: those it needs, and those it may have. What no kind has is no such key. */
const targetKeys: Readonly<Record<string, { readonly needs: readonly string[]; readonly may?: readonly string[] }>> = {
  nfs: { needs: [], may: ['at'] },
  http: { needs: [], may: ['at', 'path'] },
  https: { needs: ['at'], may: ['path'] },
  webdav: { needs: ['at'], may: ['path'] },
  dns: { needs: ['at', 'query'] },
  script: { needs: ['script'] },
  disk: { needs: ['path'] },
  lun: { needs: ['lun'] },
  filesystem: { needs: ['filesystem'] },
  gateway: { needs: ['gateway'] },
}
const allTargetKeys = ['at', 'path', 'query', 'script', 'lun', 'filesystem', 'gateway']
export const programKeys = ['script', 'start', 'stop', 'recover']

/** Of one table, beside the other keys of the file; `where` is such as `services[0]`. */
export function serviceProblems(table: Table, where: string, file: Partial<ConfigFile>): string[] {
  const { kind, start, stop, virtual_hosts: hosts } = table
  const problems: string[] = []
  const { needs, may = [] } = targetKeys[String(kind)] ?? { needs: ['at'] }
  if (typeof kind === 'string') {
    for (const key of needs)
      if (table[key] === undefined) problems.push(`${where}.${key}: missing; kind "${kind}" needs it`)
    for (const key of allTargetKeys)
      if (table[key] !== undefined && !needs.includes(key) && !may.includes(key))
        problems.push(`${where}.${key}: kind "${kind}" has none; leave it out`)
    if ((kind === 'nfs' || kind === 'http') && table['at'] === undefined && !file[kind])
      problems.push(`${where}.at: missing; this node itself serves no ${kind.toUpperCase()}`)
  }
  if (start !== undefined && stop === undefined)
    problems.push(`${where}.stop: missing; what is started with a virtual host is stopped with it`)
  if (start === undefined)
    for (const key of ['stop', 'start_before', 'recover_after'])
      if (table[key] !== undefined && table[key] !== defaults[key])
        problems.push(`${where}.${key}: there is no "start"; add it, or leave this out`)
  const known = Array.isArray(file.virtual_hosts) ? file.virtual_hosts.map((host) => host?.name) : []
  if (hosts === undefined && known.length === 0)
    problems.push(
      `${where}.virtual_hosts: there are no [[virtual_hosts]] that could need it; add one, or leave this out`,
    )
  if (Array.isArray(hosts)) {
    for (const host of hosts)
      if (!known.includes(host))
        problems.push(
          `${where}.virtual_hosts: "${host}" is not among [[virtual_hosts]]; allowed is ${known.join(', ') || 'nothing, as there are none'}`,
        )
    if (start !== undefined && hosts.length !== 1)
      problems.push(`${where}.virtual_hosts: names ${hosts.length}; an application runs where one virtual host is`)
  }
  return problems
}

/** As the schema has them. */
const defaults: Table = { start_before: false, recover_after: 5 * 60_000 }

/** Of a checked file. */
export function servicesOf(file: ConfigFile): Service[] {
  const own = { nfs: file.nfs?.listen, http: file.http?.listen }
  const services = file.services.map((table): Service => {
    const { start, stop, script_timeout: timeoutMs } = table
    return {
      ...common(table, targetOf(table, own)),
      type: start === undefined ? 'service' : 'application',
      ...{ hosts: table.virtual_hosts, weight: table.weight, startsFirst: table.start_before },
      recoverAfterMs: table.recover_after,
      ...(start !== undefined && { start: { path: start, timeoutMs } }),
      ...(stop !== undefined && { stop: { path: stop, timeoutMs } }),
    }
  })
  const devices = file.devices.map((table): Service => {
    const all = file.virtual_hosts.map(({ name }) => name)
    return {
      ...common(table, targetOf(table, own)),
      ...{ type: 'device', hosts: table.virtual_hosts ?? all, weight: 0, startsFirst: false, recoverAfterMs: 0 },
    }
  })
  return [...services, ...devices]
}

type Written = ConfigFile['services'][number] | ConfigFile['devices'][number]

function common(table: Written, target: ProbeTarget) {
  const { name, policy, restarts, recover, script_timeout: timeoutMs } = table
  return {
    ...{ name, policy, restarts },
    check: {
      ...target,
      ...{ intervalMs: table.probe_interval, timeoutMs: table.probe_timeout, retries: table.probe_retries },
    },
    ...(recover !== undefined && { recover: { path: recover, timeoutMs } }),
  }
}

/** What it needs is there: `serviceProblems`. */
function targetOf(
  table: Written,
  own: { readonly nfs?: PeerAddress | undefined; readonly http?: PeerAddress | undefined },
): ProbeTarget {
  const all = table as Table
  const { kind } = table
  const at = (all['at'] ??
    (kind === 'nfs' || kind === 'http' ? reachable(own[kind] as PeerAddress) : undefined)) as PeerAddress
  switch (kind) {
    case 'http':
    case 'https':
    case 'webdav':
      return { kind, at, path: (all['path'] as string | undefined) ?? '/' }
    case 'dns':
      return { kind, at, query: all['query'] as string }
    case 'script':
      return { kind, script: all['script'] as string }
    case 'disk':
      return { kind, path: all['path'] as string }
    case 'lun':
    case 'filesystem':
      return { kind, of: all[kind] as string }
    case 'gateway':
      return { kind, ...(all['gateway'] as { host: string; port?: number }) }
    default:
      return { kind, at }
  }
}

/** How this machine itself reaches what listens there. */
export function reachable({ host, port }: PeerAddress): PeerAddress {
  if (host === '0.0.0.0') return { host: '127.0.0.1', port }
  return { host: host === '::' ? '::1' : host, port }
}
