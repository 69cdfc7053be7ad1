/**
 * URLs of LUNs at an iSCSI target:
 *
 *     iscsi://HOST[:3260][,HOST[:3260]…]/TARGET/LUN[?user=NAME&secret_file=PATH&target_secret_file=PATH&digest=crc32c&initiator=NAME]
 *
 * Several hosts are portals of the one target: paths to the LUN, the one that is wanted most first.
 *
 * Secrets stand in files of their own, never in the URL: URLs are shown by `ps`, in logs and by `matrix status`.
 */
import { isAbsolute } from 'node:path'
import { MatrixError } from '../../base/errors.ts'
import { formatAddress, type PeerAddress } from '../../platform/transport.ts'
import { MAX_LUN } from '../scsi/answers.ts'

export type IscsiUrl = {
  /** At least one; the first is the one to use. */
  readonly addresses: readonly PeerAddress[]
  readonly target: string
  readonly lun: number
  readonly digests: boolean
  readonly initiator?: string
  readonly chap?: { readonly user: string; readonly secretFile: string; readonly targetSecretFile?: string }
}

export const ISCSI_FORM = 'iscsi://HOST[:3260][,HOST[:3260]…]/TARGET/LUN'
/** More are a mistake. */
const MAX_PORTALS = 8
const DEFAULT_PORT = 3260
const OPTIONS = ['user', 'secret_file', 'target_secret_file', 'digest', 'initiator']
const FILE_OPTIONS = ['secret_file', 'target_secret_file']

export function isIscsiUrl(url: string): boolean {
  return /^iscsi:/i.test(url)
}

/** Throws MatrixError 'config'. */
export function parseIscsiUrl(url: string): IscsiUrl {
  const wrong = (why: string) => new MatrixError('config', `${withoutSecrets(url)}: ${why}`)
  const form = /^iscsi:\/\/(?:([^/@?]*)@)?([^/@?#]+)\/([^/?#]+)\/(\d{1,5})(?:\?([^#]*))?$/i
  const match = form.exec(url)
  if (!match) throw wrong(`allowed is ${ISCSI_FORM}, such as iscsi://10.0.0.9/iqn.2026-11.com.example:array/1`)
  const [, login, portals = '', target = '', lunDigits, query = ''] = match
  if (login !== undefined)
    throw wrong('user and secret do not stand before the host; allowed is ?user=NAME&secret_file=PATH at the end')
  const addresses = portals.split(',').map((portal) => parsePortal(portal, wrong))
  if (addresses.length > MAX_PORTALS) throw wrong(`${addresses.length} portals; allowed are ${MAX_PORTALS}`)
  const twice = addresses.map(formatAddress).find((name, at, all) => all.indexOf(name) !== at)
  if (twice !== undefined) throw wrong(`portal ${twice} is there twice`)
  if (!isIscsiName(target))
    throw wrong(`the target is called "${target}"; allowed is a name that begins with iqn., eui. or naa.`)
  const lun = Number(lunDigits)
  if (lun > MAX_LUN) throw wrong(`LUN ${lun}; allowed is 0…${MAX_LUN}`)
  const options = new URLSearchParams(query)
  for (const key of options.keys()) {
    if (!OPTIONS.includes(key)) throw wrong(`option "${key}"; allowed are ${OPTIONS.join(', ')}`)
    if (options.getAll(key).length > 1) throw wrong(`option "${key}" is there twice`)
    if (options.get(key) === '') throw wrong(`option "${key}" is empty`)
  }
  const [digest, initiator] = [options.get('digest'), options.get('initiator')]
  if (digest !== null && digest !== 'crc32c') throw wrong(`digest "${digest}"; allowed is crc32c, or nothing`)
  if (initiator !== null && !isIscsiName(initiator))
    throw wrong(`initiator "${initiator}"; allowed is a name that begins with iqn., eui. or naa.`)
  const [user, secretFile, targetSecretFile] = ['user', ...FILE_OPTIONS].map((key) => options.get(key) ?? undefined)
  if ((user === undefined) !== (secretFile === undefined)) throw wrong('user and secret_file go together')
  if (targetSecretFile !== undefined && user === undefined) throw wrong('target_secret_file needs user and secret_file')
  return {
    addresses,
    target,
    lun,
    digests: digest !== null,
    ...(initiator !== null && { initiator }),
    ...(user !== undefined &&
      secretFile !== undefined && { chap: { user, secretFile, ...(targetSecretFile && { targetSecretFile }) } }),
  }
}

function parsePortal(portal: string, wrong: (why: string) => MatrixError): PeerAddress {
  const [, six, name, digits] = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?$/i.exec(portal) ?? []
  const host = six ?? name
  if (host === undefined) throw wrong(`portal "${portal}"; allowed is ${ISCSI_FORM}`)
  const port = digits === undefined ? DEFAULT_PORT : Number(digits)
  if (port < 1 || port > 65535) throw wrong(`port ${port}; allowed is 1…65535`)
  return { host, port }
}

/** The URL with the paths in it made absolute by `resolve`. Throws MatrixError 'config'. */
export function resolveIscsiUrl(url: string, resolve: (path: string) => string): string {
  parseIscsiUrl(url)
  const [place, query] = url.split('?') as [string, string | undefined]
  if (query === undefined) return url
  const options = [...new URLSearchParams(query)].map(([key, value]) => {
    const written = FILE_OPTIONS.includes(key) && !isAbsolute(value) ? resolve(value) : value
    // spelt as people do: a path keeps its slashes
    return `${key}=${encodeURIComponent(written).replaceAll('%2F', '/').replaceAll('%3A', ':')}`
  })
  return `${place}?${options.join('&')}`
}

/** For messages: what may hold a secret by mistake is left out. */
function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//…@').replace(/\?.*$/s, '')
}

function isIscsiName(name: string): boolean {
  return /^(?:iqn\.|eui\.|naa\.)[a-z0-9.:_-]{1,219}$/i.test(name)
}
