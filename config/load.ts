/**
 * Reads a configuration file. Either everything in it is right, or a MatrixError 'config' lists every problem, each on a
 * line. Three passes: the file is TOML; every key is known and has an allowed value (schema.ts); the keys fit each other.
 */
import { dirname, isAbsolute, resolve } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import * as v from 'valibot'
import { MatrixError } from '../src/base/errors.ts'
import { timingsFrom } from '../src/base/timings.ts'
import type { PeerAddress } from '../src/platform/transport.ts'
import { isIscsiUrl, parseIscsiUrl, resolveIscsiUrl } from '../src/san/index.ts'
import type { ServiceCheck, VirtualHost } from '../src/services/index.ts'
import { adminOf, adminProblems, readRedisPassword } from './admin-config.ts'
import type { ConfiguredHttp, ConfiguredNode, MatrixdConfig } from './config.ts'
import { type ConfigFiles, realFiles } from './files.ts'
import { notifyOf, notifyProblems } from './notify.ts'
import { octal, privateFileProblem, privateLine } from './private-file.ts'
import { explain, incomplete } from './problems.ts'
import { replicateProblems, replicationsOf } from './replicate-schema.ts'
import { type ConfigFile, fileSchema, SECRET_MIN } from './schema.ts'
import { programKeys, reachable, serviceProblems, servicesOf } from './services.ts'
import { tlsKeyProblems, tlsOf } from './tls-keys.ts'
import { type ConfiguredMonitor, formatAddress } from './values.ts'

/** Of a fence script, unless the file says otherwise, ms. */
const SCRIPT_TIMEOUT_MS = 10_000

/** Throws MatrixError 'config'; its message names the file and has a line for each problem. */
export function loadConfig(path: string, files: ConfigFiles = realFiles): MatrixdConfig {
  const file = resolve(path)
  const written = parseToml(file, readText(file, files))
  const result = v.safeParse(fileSchema, written)
  const problems = (result.issues ?? []).map((issue) => explain(fileSchema, issue))
  // What does not fit together is told even when other keys are wrong, as far as the parts it needs are there.
  problems.push(
    ...conflicts(result.output),
    ...scriptProblems(result.output, files),
    ...programsProblems(result.output, files),
    ...urlProblems(result.output),
    ...tlsProblems(file, result.output, files),
    ...httpProblems(file, result.output, files),
    ...adminProblems(file, (result.output as Partial<ConfigFile>).admin, files),
    ...notifyProblems(result.output, (key, script) => programProblems(key, script, files)),
  )
  const redisPassword = readRedisPassword(file, (result.output as Partial<ConfigFile>).admin, files, problems)
  const secret = readSecret(file, (result.output as Partial<ConfigFile>).matrix, files, problems)
  if (!result.success || problems.length > 0) throw failure(file, problems)
  return configOf(file, result.output, secret as string, redisPassword)
}

export function readText(file: string, files: ConfigFiles): string {
  try {
    return files.read(file)
  } catch (cause) {
    const why = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : String(cause)
    throw new MatrixError('config', `${file}: ${why}`, { cause })
  }
}

export function parseToml(file: string, text: string): unknown {
  try {
    return parse(text)
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const [what] = cause.message.split('\n')
    throw new MatrixError('config', `${file}:${cause.line}:${cause.column}: ${what}`, { cause })
  }
}

export function failure(file: string, problems: readonly string[]): MatrixError {
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`
  return new MatrixError('config', `${file}: ${count}\n${problems.map((line) => `  ${line}`).join('\n')}`)
}

/** Keys that are right by themselves and do not fit each other. `output` may be partly unchecked. */
function conflicts(output: unknown): string[] {
  const file = output as Partial<ConfigFile>
  const problems: string[] = []
  const nodes = tables(file.nodes)
  const unique = (list: string, items: readonly Record<string, unknown>[], key: string): void => {
    const first = new Map<string, number>()
    items.forEach((item, index) => {
      const value = item[key]
      for (const each of Array.isArray(value) ? value : [value]) {
        if (each === undefined) continue
        const text = isAddress(each) ? formatAddress(each) : JSON.stringify(each)
        const earlier = first.get(text)
        if (earlier === undefined) first.set(text, index)
        else problems.push(`${list}[${index}].${key}: ${text} is also that of ${list}[${earlier}]; allowed is one each`)
      }
    })
  }
  for (const key of ['name', 'slot', 'mesh']) unique('nodes', nodes, key)
  unique('luns', tables(file.luns), 'url')
  unique('exports', tables(file.exports), 'path')
  unique('mounts', tables(file.mounts), 'directory')
  unique('notify', tables(file.notify), 'name')
  unique('replicate', tables(file.replicate), 'name')
  problems.push(
    ...replicateProblems(
      tables(file.replicate),
      nodes.map(({ name }) => name),
    ),
  )
  const hosts = tables(file.virtual_hosts)
  unique('virtual_hosts', hosts, 'name')
  unique(
    'virtual_hosts',
    hosts.map(({ address }) => ({ address: (address as { address?: string })?.address })),
    'address',
  )
  problems.push(...hosts.flatMap((host, index) => hostProblems(host, `virtual_hosts[${index}]`, file)))
  unique('services', [...tables(file.services), ...tables(file.devices)], 'name')
  for (const list of ['services', 'devices'] as const)
    problems.push(...tables(file[list]).flatMap((table, index) => serviceProblems(table, `${list}[${index}]`, file)))
  const agents = Array.isArray(file.fencing?.agents) ? file.fencing.agents : []
  if (new Set(agents).size < agents.length) problems.push('fencing.agents: names an agent twice; allowed is once each')

  const name = file.node?.name
  const listed = nodes.find((node) => node['name'] === name)
  const alone = ['slot', 'mesh'].filter((key) => file.node?.[key as 'slot' | 'mesh'] !== undefined)
  if (typeof name === 'string' && listed) {
    for (const key of alone) problems.push(`node.${key}: "${name}" has one in [[nodes]]; allowed is only one of them`)
  } else if (typeof name === 'string' && alone.length < 2) {
    const names = nodes.map((node) => String(node['name'])).join(', ') || 'nothing, as there are none'
    problems.push(
      `node.name: "${name}" is not among [[nodes]]; allowed is one of ${names}, or node.slot and node.mesh beside it`,
    )
  } else if (nodes.some((node) => node['slot'] === file.node?.slot)) {
    problems.push(`node.slot: ${file.node?.slot} is that of another node in [[nodes]]; allowed is one of its own`)
  }
  const own = listed?.['mesh'] ?? file.node?.mesh
  const listeners: readonly (readonly [string, unknown])[] = [
    ...(Array.isArray(own) ? own : []).map((at) => ['the mesh of this node', at] as const),
    ['nfs.listen', file.nfs?.listen],
    ['nfs.portmap_port', portmapAddress(file.nfs)],
    ['http.listen', file.http?.listen],
    ['admin.listen', file.admin?.listen],
  ]
  listeners.forEach(([key, at], index) => {
    const [other] = listeners.slice(0, index).find(([, before]) => sameAddress(before, at)) ?? []
    if (other)
      problems.push(`${key}: ${formatAddress(at as never)} is also that of ${other}; allowed is a port of its own`)
  })
  return problems
}

/** Of one virtual host, beside the other keys of the file. */
function hostProblems(host: Record<string, unknown>, where: string, file: Partial<ConfigFile>): string[] {
  const problems: string[] = []
  const { nodes, monitors } = host
  if (Array.isArray(nodes) && new Set(nodes).size < nodes.length)
    problems.push(`${where}.nodes: names a node twice; allowed is once each`)
  for (const kind of ['nfs', 'http'] as const) {
    const isAsked = tables(monitors).some((each) => each['kind'] === kind)
    if (isAsked && !file[kind])
      problems.push(`${where}.monitors: "${kind}" is not served by this node; add [${kind}], or leave the monitor out`)
  }
  const { address } = (host['address'] ?? {}) as { address?: string }
  const own = tables(file.nodes).find(({ mesh }) => tables(mesh).some((at) => at['host'] === address))
  if (address !== undefined && own)
    problems.push(
      `${where}.address: ${address} is that of node ${String(own['name'])} itself; allowed is one that no machine has`,
    )
  for (const kind of ['nfs', 'http'] as const) {
    if (address !== undefined && file[kind]?.listen?.host === address)
      problems.push(
        `${kind}.listen: ${address} is that of ${where}, which comes and goes; allowed is an address of this node, or "0.0.0.0:${file[kind]?.listen.port}"`,
      )
  }
  return problems
}

/** Programs for addresses, services and devices. */
function programsProblems(output: unknown, files: ConfigFiles): string[] {
  const file = output as Partial<ConfigFile>
  const scripts: (readonly [string, unknown])[] = [['addresses.script', file.addresses?.script]]
  for (const list of ['services', 'devices'] as const)
    for (const [index, table] of tables(file[list]).entries())
      scripts.push(...programKeys.map((key) => [`${list}[${index}].${key}`, table[key]] as const))
  return scripts.flatMap(([key, path]) =>
    typeof path === 'string' && isAbsolute(path) ? programProblems(key, path, files) : [],
  )
}

/** The fence script is there exactly when it is an agent, may be run, and is nobody else's to write. */
function scriptProblems(output: unknown, files: ConfigFiles): string[] {
  const fencing = (output as Partial<ConfigFile>).fencing
  const { agents, script } = fencing ?? {}
  if (!Array.isArray(agents)) return []
  if (!agents.includes('script')) {
    const keys = (['script', 'script_timeout', 'script_dry_run'] as const).filter((key) => fencing?.[key] !== undefined)
    return keys.map((key) => `fencing.${key}: "script" is not among fencing.agents; add it there, or leave this out`)
  }
  if (script === undefined)
    return [
      'fencing.script: missing; agent "script" needs the absolute path of a program, such as "/etc/matrixfs/fence"',
    ]
  if (typeof script !== 'string' || !isAbsolute(script)) return [] // told by the schema
  return programProblems('fencing.script', script, files)
}

/** A program of the operator may be run, and is nobody else's to write. */
function programProblems(key: string, script: string, files: ConfigFiles): string[] {
  try {
    const mode = files.mode(script)
    if (mode === undefined) return []
    if ((mode & 0o111) === 0)
      return [`${key}: ${script} has mode ${octal(mode)}; allowed is one that may be run (chmod 755 ${script})`]
    if ((mode & 0o022) !== 0)
      return [`${key}: ${script} has mode ${octal(mode)}; only its owner may write to it (chmod 755 ${script})`]
    return []
  } catch (error) {
    return [`${key}: cannot use ${script}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`]
  }
}

/** Certificate and key are there together, the key is its owner's alone, and exports want nothing that is not offered. */
function tlsProblems(file: string, output: unknown, files: ConfigFiles): string[] {
  const { nfs = {}, exports } = output as { nfs?: Partial<NonNullable<ConfigFile['nfs']>>; exports?: unknown }
  const { tls_certificate: certificate, tls_key: key, tls_client_ca: ca } = nfs
  const problems: string[] = []
  if ((certificate === undefined) !== (key === undefined)) {
    const [there, missing] = key === undefined ? ['tls_certificate', 'tls_key'] : ['tls_key', 'tls_certificate']
    problems.push(`nfs.${missing}: missing; nfs.${there} needs it`)
  }
  if (ca !== undefined && certificate === undefined)
    problems.push('nfs.tls_client_ca: there is no nfs.tls_certificate; add one with its nfs.tls_key, or leave this out')
  for (const [index, { tls }] of tables(exports).entries()) {
    if ((tls === 'required' || tls === 'mutual') && certificate === undefined)
      problems.push(`exports[${index}].tls: found "${tls}"; without nfs.tls_certificate allowed is "optional"`)
    else if (tls === 'mutual' && ca === undefined)
      problems.push(
        `exports[${index}].tls: found "mutual"; without nfs.tls_client_ca allowed is "optional" or "required"`,
      )
  }
  for (const [name, path] of Object.entries({ tls_certificate: certificate, tls_key: key, tls_client_ca: ca })) {
    if (typeof path !== 'string') continue
    const at = resolve(dirname(file), path)
    try {
      files.read(at)
      const mode = name === 'tls_key' ? files.mode(at) : undefined
      if (mode !== undefined && (mode & 0o077) !== 0)
        problems.push(`nfs.${name}: ${at} has mode ${octal(mode)}; allowed is 600 or 400 (chmod 600 ${at})`)
    } catch (error) {
      problems.push(`nfs.${name}: cannot read ${at}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
    }
  }
  return problems
}

/** What the schema leaves to whoever knows these URLs. */
function urlProblems(output: unknown): string[] {
  return tables((output as Partial<ConfigFile>).luns).flatMap(({ url }, index) => {
    if (typeof url !== 'string' || !isIscsiUrl(url)) return []
    try {
      parseIscsiUrl(url)
      return []
    } catch (error) {
      return [`luns[${index}].url: ${(error as Error).message}`]
    }
  })
}

/** With the paths in it absolute. */
function lunUrl(folder: string, url: string): string {
  if (isIscsiUrl(url)) return resolveIscsiUrl(url, (path) => resolve(folder, path))
  if (url.startsWith('block:')) return url
  return `file:${resolve(folder, url.slice('file:'.length))}`
}

function tables(list: unknown): readonly Record<string, unknown>[] {
  return Array.isArray(list) ? list.filter((item) => typeof item === 'object' && item !== null) : []
}

/** Where our own port mapper would listen. */
function portmapAddress(nfs: ConfigFile['nfs'] | undefined): unknown {
  const { listen, portmap, portmap_port: port } = nfs ?? {}
  if (!isAddress(listen) || portmap === 'off' || portmap === 'rpcbind') return undefined
  return { host: listen.host, port }
}

function isAddress(value: unknown): value is { host: string; port: number } {
  return typeof value === 'object' && value !== null && 'host' in value && 'port' in value
}

function sameAddress(a: unknown, b: unknown): boolean {
  return isAddress(a) && isAddress(b) && a.host === b.host && a.port === b.port
}

/** The secret, or undefined after adding to `problems`. */
function readSecret(
  file: string,
  matrix: ConfigFile['matrix'] | undefined,
  files: ConfigFiles,
  problems: string[],
): string | undefined {
  if (typeof matrix !== 'object' || matrix === null) return undefined
  const { secret, secret_file: secretFile } = matrix
  if ((secret === undefined) === (secretFile === undefined)) {
    const found = secret === undefined ? 'neither is there' : 'both are there'
    problems.push(`matrix.secret, matrix.secret_file: ${found}; allowed is exactly one of them`)
    return undefined
  }
  const [key, path] =
    secretFile === undefined ? ['matrix.secret', file] : ['matrix.secret_file', resolve(dirname(file), secretFile)]
  const text = secret ?? privateLine(key, path, files, problems)
  const problem = secret === undefined ? undefined : privateFileProblem(key, path, files)
  if (problem !== undefined) problems.push(problem)
  if (text === undefined || text.length >= SECRET_MIN) return text
  problems.push(
    `${key}: found ${text.length} characters in the first line of ${path}; allowed is at least ${SECRET_MIN}`,
  )
  return undefined
}

type WrittenNode = ConfigFile['nodes'][number]

function nodeOf({ name, slot, mesh: [mesh, ...otherMeshes] }: WrittenNode): ConfiguredNode {
  return { name, slot, mesh: mesh as PeerAddress, otherMeshes }
}

function nfsOf(folder: string, nfs: NonNullable<ConfigFile['nfs']>): NonNullable<MatrixdConfig['nfs']> {
  const { listen, udp, groups, tls_certificate: certificate, tls_key: key, tls_client_ca: ca } = nfs
  const own = { listen, udp, groups, portmap: { mode: nfs.portmap, port: nfs.portmap_port } }
  if (certificate === undefined || key === undefined) return own
  const at = (path: string) => resolve(folder, path)
  const clientCa = ca === undefined ? {} : { clientCa: at(ca) }
  return { ...own, tls: { certificate: at(certificate), key: at(key), ...clientCa } }
}

function httpOf(folder: string, written: WrittenHttp): ConfiguredHttp {
  const { listen, uid, gid, users, insecure_logins: insecureLogins } = written
  const { cors_origins: corsOrigins } = written
  const { bearer_issuer: issuer, bearer_audience: audience, bearer_keys: keys, bearer_claim: claim } = written
  const at = (path: string) => resolve(folder, path)
  return {
    ...{ listen, uid, gid, insecureLogins, corsOrigins },
    ...tlsOf(folder, written),
    ...(users !== undefined && { users: at(users) }),
    ...(issuer !== undefined &&
      audience !== undefined &&
      keys !== undefined && { bearer: { issuer, audience, keys: at(keys), claim } }),
  }
}

type WrittenHttp = NonNullable<ConfigFile['http']>

/** What of [http] is there only together. */
function httpProblems(file: string, output: unknown, files: ConfigFiles): string[] {
  const { http, exports } = output as Partial<ConfigFile>
  if (typeof http !== 'object' || http === null) return []
  const problems = [
    ...tlsKeyProblems('http', http, file, files),
    ...incomplete('http', http, ['bearer_issuer', 'bearer_audience', 'bearer_keys']),
  ]
  if (http.users !== undefined) return problems
  if (http.bearer_issuer !== undefined)
    problems.push('http.bearer_issuer: there is no http.users; allowed is with the users whom its tokens are of')
  tables(exports).forEach(({ anonymous }, index) => {
    if (anonymous === 'ro' || anonymous === 'off')
      problems.push(
        `exports[${index}].anonymous: "${anonymous}", and nobody can log in without http.users; allowed is "rw" then`,
      )
  })
  return problems
}

function configOf(file: string, written: ConfigFile, secret: string, redisPassword?: string): MatrixdConfig {
  const folder = dirname(file)
  const { matrix, node, nodes, luns, fencing, timings, nfs, http, admin, cache, log } = written
  return {
    file,
    matrix: { name: matrix.name, secret },
    node: nodeOf((nodes.find(({ name }) => name === node.name) ?? node) as WrittenNode),
    stateDir: resolve(folder, node.state_dir),
    drills: node.drills ?? false,
    nodes: nodes.map(nodeOf).sort((a, b) => a.slot - b.slot),
    luns: luns.map(({ url }) => ({ url: lunUrl(folder, url) })),
    fencing: {
      agents: fencing.agents,
      ...(fencing.script !== undefined && {
        script: {
          path: fencing.script,
          timeoutMs: fencing.script_timeout ?? SCRIPT_TIMEOUT_MS,
          dryRun: fencing.script_dry_run ?? false,
        },
      }),
    },
    timings: timingsFrom(timings.io_timeout),
    ...(nfs && { nfs: nfsOf(folder, nfs) }),
    ...(http && { http: httpOf(folder, http) }),
    ...(admin && { admin: adminOf(folder, admin, redisPassword) }),
    exports: written.exports.map(
      ({
        anon_uid: anonUid,
        anon_gid: anonGid,
        privileged_ports: privilegedPorts,
        cache_control: cacheControl,
        anonymous,
        ...rest
      }) => ({
        ...rest,
        anonymous: anonymous ?? (http?.users === undefined ? 'rw' : 'off'),
        cacheControl,
        privilegedPorts,
        anonUid,
        anonGid,
      }),
    ),
    mounts: written.mounts.map(({ filesystem, directory }) => ({ filesystem, directory: resolve(folder, directory) })),
    virtualHosts: written.virtual_hosts.map((host) => virtualHostOf(host, written)),
    services: servicesOf(written),
    addresses: {
      ...(written.addresses.script !== undefined && {
        script: { path: written.addresses.script, timeoutMs: written.addresses.script_timeout },
      }),
    },
    notify: notifyOf(folder, written),
    replicate: replicationsOf(written.replicate),
    cache: { dataBytes: cache.data },
    log,
  }
}

function virtualHostOf(host: ConfigFile['virtual_hosts'][number], { nfs, http }: ConfigFile): VirtualHost {
  const patience = { intervalMs: host.probe_interval, timeoutMs: host.probe_timeout, retries: host.probe_retries }
  const own = { nfs: nfs?.listen, http: http?.listen }
  const usual: readonly ConfiguredMonitor[] = nfs ? [{ kind: 'nfs' }] : http ? [{ kind: 'http' }] : []
  return {
    ...{ name: host.name, ...host.address, interface: host.interface, nodes: host.nodes, policy: host.policy },
    monitors: (host.monitors ?? usual).map((monitor): ServiceCheck => {
      const at = monitor.kind === 'tcp' ? monitor.at : reachable(own[monitor.kind] as PeerAddress)
      return {
        ...(monitor.kind === 'http' ? { kind: 'http', at, path: '/' } : { kind: monitor.kind, at }),
        ...patience,
      }
    }),
  }
}
