/**
 * Live properties: computed from the inode, one line of the table each. A PROPFIND is compiled once into a renderer, which then
 * runs for every entry of the answer.
 */
import type { Ino } from '../base/ids.ts'
import { isPromise, type MaybePromise } from '../base/maybe-promise.ts'
import type { DavLock, FsStatistics, Inode, MatrixFs } from '../metadata/index.ts'
import { DIR } from '../metadata/index.ts'
import { contentTypeOf } from './content-types.ts'
import { etagOf } from './etag.ts'
import { formatHttpDate, formatIsoDate } from './http-date.ts'
import { lockDiscovery, SUPPORTED_LOCK } from './lock-discovery.ts'
import { displayName } from './paths.ts'
import { propstat } from './xml/multistatus.ts'
import { DAV, element, escapeXml, propertyKey } from './xml/names.ts'
import type { PropertyName, PropfindBody } from './xml/propfind-body.ts'

export const APACHE = 'http://apache.org/dav/props/'

/** A resource as PROPFIND shows it. */
export type Resource = {
  readonly name: string
  readonly inode: Inode
  readonly statistics: FsStatistics | undefined
  /** Locks that cover it, and the time at which that is said. */
  readonly locks?: readonly DavLock[] | undefined
  readonly wallMs?: number
  /** Elements as the client gave them, by `propertyKey`. */
  readonly dead?: ReadonlyMap<string, string> | undefined
}

type LiveProperty = {
  readonly namespace: string
  readonly name: string
  /** 'all': part of allprop. 'asked': only by name (RFC 4331 3 for the quota). */
  readonly shown: 'all' | 'asked'
  /** The content, escaped; undefined when the resource has no such property. */
  readonly value: (resource: Resource) => string | undefined
}

const isDir = (resource: Resource) => resource.inode.type === DIR
const fileOnly = (value: (resource: Resource) => string) => (resource: Resource) =>
  isDir(resource) ? undefined : value(resource)
const dirOnly = (value: (resource: Resource) => string | undefined) => (resource: Resource) =>
  isDir(resource) ? value(resource) : undefined

const properties: readonly LiveProperty[] = [
  { namespace: DAV, name: 'resourcetype', shown: 'all', value: (r) => (isDir(r) ? '<D:collection/>' : '') },
  { namespace: DAV, name: 'getcontentlength', shown: 'all', value: fileOnly((r) => String(r.inode.size)) },
  { namespace: DAV, name: 'getlastmodified', shown: 'all', value: (r) => formatHttpDate(r.inode.mtimeS) },
  { namespace: DAV, name: 'getetag', shown: 'all', value: fileOnly((r) => etagOf(r.inode)) },
  { namespace: DAV, name: 'getcontenttype', shown: 'all', value: fileOnly((r) => contentTypeOf(r.name)) },
  { namespace: DAV, name: 'creationdate', shown: 'all', value: (r) => formatIsoDate(r.inode.btimeS) },
  { namespace: DAV, name: 'displayname', shown: 'all', value: (r) => escapeXml(displayName(r.name)) },
  { namespace: DAV, name: 'supportedlock', shown: 'all', value: () => SUPPORTED_LOCK },
  {
    namespace: DAV,
    name: 'lockdiscovery',
    shown: 'all',
    value: ({ locks = [], wallMs = 0 }) => lockDiscovery(locks, wallMs),
  },
  {
    namespace: DAV,
    name: 'quota-available-bytes',
    shown: 'asked',
    value: dirOnly((r) => r.statistics && String(r.statistics.freeBytes)),
  },
  {
    namespace: DAV,
    name: 'quota-used-bytes',
    shown: 'asked',
    value: dirOnly((r) => r.statistics && String(r.statistics.totalBytes - r.statistics.freeBytes)),
  },
  { namespace: APACHE, name: 'executable', shown: 'asked', value: fileOnly((r) => (r.inode.mode & 0o100 ? 'T' : 'F')) },
]

const byKey = new Map(properties.map((property) => [propertyKey(property.namespace, property.name), property]))

/** True for names that this table computes: nobody can set them by PROPPATCH except where `methods/proppatch.ts` says so. */
export function isLive(namespace: string, name: string): boolean {
  return byKey.has(propertyKey(namespace, name))
}

export type Renderer = {
  /** The propstat elements of one resource. */
  readonly render: (resource: Resource) => string
  /** What of the filesystem is needed for it, beside inodes. */
  readonly needsStatistics: boolean
  readonly needsLocks: boolean
  readonly needsDead: boolean
  /** Says which properties it shows; the same for two that show the same. */
  readonly key: string
}

export function compile(body: PropfindBody): Renderer {
  const { known, unknown } = chosen(body)
  // allprop promises what there is; only what was asked for by name is answered with 404.
  const reportsMissing = body.kind === 'prop'
  const showsAllDead = body.kind !== 'prop'
  const render = (resource: Resource) => {
    let found = ''
    let absent = ''
    for (const { namespace, name } of unknown) {
      const value = resource.dead?.get(propertyKey(namespace, name))
      if (value === undefined) absent += element(namespace, name)
      else if (!showsAllDead) found += value
    }
    for (const property of known) {
      const value = property.value(resource)
      if (value === undefined) {
        if (reportsMissing) absent += element(property.namespace, property.name)
      } else if (body.kind === 'propname' || value === '') found += element(property.namespace, property.name)
      else if (property.namespace === DAV) found += `<D:${property.name}>${value}</D:${property.name}>`
      else found += element(property.namespace, property.name, value)
    }
    if (showsAllDead && resource.dead) {
      for (const [key, value] of resource.dead) found += body.kind === 'propname' ? nameElement(key) : value
    }
    if (absent === '') return propstat(found, 200)
    return (found === '' ? '' : propstat(found, 200)) + propstat(absent, 404)
  }
  const needs = (name: string) => body.kind !== 'propname' && known.some((property) => property.name.startsWith(name))
  return {
    render,
    needsStatistics: needs('quota-'),
    needsLocks: needs('lockdiscovery'),
    needsDead: showsAllDead || unknown.length > 0,
    key: JSON.stringify([body.kind, known.map(({ namespace, name }) => [namespace, name]), unknown]),
  }
}

/** Of a `propertyKey`: no local name holds a brace. */
function nameElement(key: string): string {
  const end = key.lastIndexOf('}')
  return element(key.slice(1, end), key.slice(end + 1))
}

function chosen(body: PropfindBody): { known: LiveProperty[]; unknown: PropertyName[] } {
  if (body.kind === 'propname') return { known: properties.filter(({ shown }) => shown === 'all'), unknown: [] }
  const names = body.kind === 'prop' ? body.names : body.include
  const known = new Set(body.kind === 'allprop' ? properties.filter(({ shown }) => shown === 'all') : [])
  const unknown = new Map<string, PropertyName>()
  for (const wanted of names) {
    const key = propertyKey(wanted.namespace, wanted.name)
    const property = byKey.get(key)
    if (property) known.add(property)
    else unknown.set(key, wanted)
  }
  return { known: [...known], unknown: [...unknown.values()] }
}

/** What the answer needs of the filesystem as a whole; without statistics the quota properties are simply absent. */
export async function statisticsFor(renderer: Renderer, fs: MatrixFs): Promise<FsStatistics | undefined> {
  return renderer.needsStatistics ? fs.statfs() : undefined
}

/** What the answer needs beside the inodes of entries of `dir`. */
export type Details = {
  readonly locks: ReadonlyMap<Ino, readonly DavLock[]> | undefined
  readonly dead: ReadonlyMap<Ino, ReadonlyMap<string, string>> | undefined
}

export function detailsFor(renderer: Renderer, fs: MatrixFs, dir: Ino, inos: readonly Ino[]): MaybePromise<Details> {
  const locks = renderer.needsLocks ? fs.dav.locks(dir, inos) : undefined
  const dead = renderer.needsDead ? fs.dav.properties(inos) : undefined
  if (!isPromise(locks) && !isPromise(dead)) return { locks, dead }
  return Promise.all([locks, dead]).then(([locks, dead]) => ({ locks, dead }))
}
