/** The kinds of values a configuration holds: how each is written, and what it means to the program. */
import { isIP } from 'node:net'
import * as v from 'valibot'
import { isHostPattern } from '../src/base/host-pattern.ts'
import { formatSize, parseDuration, parseSize } from '../src/base/units.ts'
import type { PeerAddress } from '../src/platform/transport.ts'

/** What a person needs to know of one key; the messages and docs/configuration.md are made of it. */
export type KeyInfo = { readonly about: string; readonly allowed: string }

/** A key whose value `parse` understands; `undefined` from `parse` means "not one of the allowed". */
export function key<T>(about: string, allowed: string, parse: (written: unknown) => T | undefined) {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value)
      if (value !== undefined) return value
      addIssue({ message: allowed })
      return NEVER
    }),
    v.metadata({ about, allowed } satisfies KeyInfo),
  )
}

const NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/

/** Names of matrices, nodes and filesystems: they become file names, mount paths and parts of URLs. */
export function name(about: string) {
  return key(about, 'a name of 1…32 characters a-z, 0-9, - and _, not beginning with - or _', (written) =>
    typeof written === 'string' && NAME.test(written) ? written : undefined,
  )
}

export function isName(text: string): boolean {
  return NAME.test(text)
}

export function text(about: string, allowed: string, accept: (written: string) => boolean) {
  return key(about, allowed, (written) => (typeof written === 'string' && accept(written) ? written : undefined))
}

/** A path, absolute or relative to the configuration file. */
export function path(about: string) {
  return text(about, 'a path (a relative one is relative to this file)', (written) => isPath(written))
}

export function isPath(written: string): boolean {
  return written.length > 0 && written.length < 4096 && !written.includes('\0')
}

export function whole(about: string, range: { readonly min: number; readonly max: number }) {
  return key(about, `a whole number ${range.min}…${range.max}`, (written) =>
    Number.isSafeInteger(written) && within(written as number, range) ? (written as number) : undefined,
  )
}

export function oneOf<const T extends string>(about: string, choices: readonly T[]) {
  const allowed = `one of ${choices.map((choice) => `"${choice}"`).join(', ')}`
  return key(about, allowed, (written) => choices.find((choice) => choice === written))
}

/** Bytes. */
export function size(about: string, range: { readonly min: number; readonly max: number }) {
  const allowed = `a size ${short(range.min)}…${short(range.max)}, such as "${short(range.min)}" or a number of bytes`
  return key(about, allowed, (written) => {
    const bytes = typeof written === 'string' ? parseSize(written) : written
    return Number.isSafeInteger(bytes) && within(bytes as number, range) ? (bytes as number) : undefined
  })
}

/** Milliseconds. */
export function duration(about: string, range: { readonly min: string; readonly max: string }) {
  const [min, max] = [parseDuration(range.min) as number, parseDuration(range.max) as number]
  return key(about, `a duration ${range.min}…${range.max} with its unit (ms, s, m, h), such as "2s"`, (written) => {
    const ms = typeof written === 'string' ? parseDuration(written) : undefined
    return ms !== undefined && within(ms, { min, max }) ? ms : undefined
  })
}

/** Where something listens: `10.0.0.1:20101`, `[::1]:20101`, `host.example:20101`. */
export function address(about: string) {
  return key(about, 'host:port with a port 1…65535, such as "10.0.0.1:20101" or "[::1]:20101"', anAddress)
}

/** One address, or a list of different ones. */
export function addresses(about: string, most: number) {
  const allowed = `host:port with a port 1…65535, such as "10.0.0.1:20101" or "[::1]:20101", or a list of 1…${most} different ones`
  return key(about, allowed, (written) => {
    const list = (Array.isArray(written) ? written : [written]).map(anAddress)
    const isRight = list.length >= 1 && list.length <= most && list.every((each) => each !== undefined)
    if (!isRight) return undefined
    return new Set(list.map(formatAddress)).size === list.length ? list : undefined
  })
}

/** `localhost` is always this machine (RFC 6761 6.3). */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function anAddress(written: unknown): PeerAddress | undefined {
  return typeof written === 'string' ? parseAddress(written) : undefined
}

export function parseAddress(written: string): PeerAddress | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(written)
  if (!match) return undefined
  const [, six, host, digits] = match
  const port = Number(digits)
  if (port < 1 || port > 65535) return undefined
  if (six !== undefined) return isIP(six) === 6 ? { host: six, port } : undefined
  // What looks like an IPv4 address has to be one.
  if (/^[\d.]+$/.test(host as string) && isIP(host as string) !== 4) return undefined
  return { host: host as string, port }
}

export function formatAddress({ host, port }: PeerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** An address of this machine with the bits of its network, IPv6 in its shortest form. */
export function interfaceAddress(about: string) {
  const allowed = 'an IP address and the bits of its network, such as "10.0.0.50/24" or "fd00::50/64"'
  return key(about, allowed, (written) => {
    const [, address, digits] = /^([0-9A-Fa-f:.]+)\/(\d{1,3})$/.exec(typeof written === 'string' ? written : '') ?? []
    const family = address === undefined ? 0 : isIP(address)
    const prefix = Number(digits)
    if (address === undefined || family === 0 || prefix < 1 || prefix > (family === 4 ? 32 : 128)) return undefined
    return { address: family === 4 ? address : new URL(`http://[${address}]`).hostname.slice(1, -1), prefix }
  })
}

export type ConfiguredMonitor = { readonly kind: 'nfs' | 'http' } | { readonly kind: 'tcp'; readonly at: PeerAddress }

/** What is probed: `nfs`, `http`, or `tcp:HOST:PORT`. */
export function monitor(about: string) {
  return key(
    about,
    '"nfs", "http", or "tcp:" and host:port, such as "tcp:127.0.0.1:445"',
    (written): ConfiguredMonitor | undefined => {
      if (written === 'nfs' || written === 'http') return { kind: written }
      const [, where] = /^tcp:(.*)$/.exec(typeof written === 'string' ? written : '') ?? []
      const at = where === undefined ? undefined : parseAddress(where)
      return at && { kind: 'tcp', at }
    },
  )
}

/** Which clients: `*`, an address, a network such as `10.0.0.0/8`, a host's name, or `*.` and a domain. */
export function client(about: string) {
  const allowed =
    '"*", an IP address, a network such as "10.0.0.0/8" or "fd00::/8", or a host\'s name such as "build7.example.org" or "*.example.org"'
  return text(about, allowed, (written) => {
    if (written === '*' || isHostPattern(written)) return true
    const match = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(written)
    if (!match) return false
    const family = isIP(match[1] as string)
    return family !== 0 && Number(match[2] ?? 0) <= (family === 4 ? 32 : 128)
  })
}

function within(value: number, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return value >= min && value <= max
}

function short(bytes: number): string {
  return formatSize(bytes).replace(' ', '')
}
