/** Requests that nobody would send, made from what HTTP and WebDAV have: methods, paths, headers and bodies, each now and then of a wrong kind. */
import type { Prng } from '../../../src/base/prng.ts'

/** What earlier answers have shown: tokens of locks, URLs of uploads, entity tags. */
export type Known = { readonly tokens: string[]; readonly uploads: string[]; readonly etags: string[] }

const METHODS = [
  ...['GET', 'GET', 'HEAD', 'PUT', 'PUT', 'DELETE', 'MKCOL', 'MKCOL', 'COPY', 'MOVE', 'PROPFIND', 'PROPFIND'],
  ...['PROPPATCH', 'PROPPATCH', 'LOCK', 'LOCK', 'UNLOCK', 'OPTIONS', 'POST', 'PATCH', 'REPORT', 'TRACE', 'put', 'X'],
]
const SEGMENTS = [
  ...[
    'a',
    'b',
    'c',
    'd',
    'gr%C3%BCn',
    '%FF%FE',
    '100%25',
    '__proto__',
    'constructor',
    '%E2%80%AE',
    'n%0Al',
    '~',
    '._a',
  ],
  ...[
    '%2e',
    '%2E%2e',
    '..',
    '.',
    '',
    '%00',
    'a%2Fb',
    '%5C..%5C',
    '%',
    '%zz',
    '.~put-0123456789abcdef01234567',
    'x'.repeat(300),
  ],
]
/** Most requests are about these, so that they meet. */
const USUAL = 8
const QUERIES = ['', '', '', '', '?', '?upload=0123456789abcdef01234567', '?C=M;O=D', '?search=a', '#x']
const NUMBERS = ['0', '1', '5', '10', '-1', '4294967296', '9007199254740993', '99999999999999999999', 'x', '']

export type Made = {
  readonly method: string
  readonly bytes: Buffer
  /** It is as long as it says. */
  readonly isWhole: boolean
}

export function madeRequest(prng: Prng, known: Known): Made {
  const method = prng.pick(METHODS)
  const body = prng.chance(0.6) ? bodyOf(prng, method) : Buffer.alloc(0)
  const headers = [`Host: ${prng.chance(0.95) ? 'h' : ''}`, 'Connection: close', ...headersOf(prng, known)]
  const isChunked = prng.chance(0.1)
  const length = prng.chance(0.95) ? `${body.length}` : prng.pick(NUMBERS)
  const hasLength = !isChunked && (body.length > 0 || prng.chance(0.3))
  if (isChunked) headers.push('Transfer-Encoding: chunked')
  else if (hasLength) headers.push(`Content-Length: ${length}`)
  const head = `${method} ${targetOf(prng, known)} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`
  const bytes = Buffer.concat([Buffer.from(head, 'latin1'), isChunked ? chunked(body) : body])
  return { method, bytes, isWhole: !hasLength || length === `${body.length}` }
}

function chunked(body: Buffer): Buffer {
  const chunk = body.length === 0 ? [] : [Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]
  return Buffer.concat([...chunk, Buffer.from('0\r\n\r\n')])
}

function pathOf(prng: Prng): string {
  const segments = Array.from({ length: prng.below(4) }, () =>
    prng.chance(0.93) ? SEGMENTS[prng.below(USUAL)] : prng.pick(SEGMENTS),
  )
  const share = prng.chance(0.93) ? 'home' : prng.pick(['', 'frozen', 'none', '%68ome', '..'])
  return `/${[share, ...segments].join('/')}${prng.chance(0.3) ? '/' : ''}`
}

function targetOf(prng: Prng, known: Known): string {
  if (prng.chance(0.06) && known.uploads.length > 0) return prng.pick(known.uploads)
  if (prng.chance(0.03))
    return prng.pick(['*', 'home', 'http://h/home/a', 'http://', '//', `/${'a/'.repeat(400)}`, '/home/\xff'])
  return pathOf(prng) + prng.pick(QUERIES)
}

function headersOf(prng: Prng, known: Known): string[] {
  const token = () => (known.tokens.length > 0 && prng.chance(0.8) ? prng.pick(known.tokens) : '<urn:uuid:0>')
  const etag = () =>
    known.etags.length > 0 && prng.chance(0.7) ? prng.pick(known.etags) : prng.pick(['"x"', 'W/"x"', '*', 'x', '"'])
  const range = () => `${prng.pick(NUMBERS)}-${prng.pick(NUMBERS)}`
  const list = () => `(${prng.chance(0.2) ? 'Not ' : ''}${token()}${prng.chance(0.3) ? ` [${etag()}]` : ''})`
  const makers: (() => string)[] = [
    () => `Depth: ${prng.pick(['0', '1', 'infinity', 'Infinity', '2', ''])}`,
    () => `Destination: ${prng.pick(['', 'http://h', 'x'])}${pathOf(prng)}`,
    () => `Destination: ${pathOf(prng)}`,
    () => `Overwrite: ${prng.pick(['T', 'F', 'x'])}`,
    () =>
      `If: ${prng.chance(0.3) ? `<${pathOf(prng)}> ` : ''}${Array.from({ length: 1 + prng.below(3) }, list).join(' ')}`,
    () => `If: ${list()}`,
    () => `If: ${prng.pick(['(', '()', '(Not)', '<', `(${'<a> '.repeat(80)})`, `${'(<a>)'.repeat(80)}`])}`,
    () => `Lock-Token: ${token()}`,
    () => `Timeout: ${prng.pick(['Infinite', 'Second-1', 'Second-99999999999', 'Second-x', 'Infinite, Second-5', ''])}`,
    () => `If-Match: ${etag()}`,
    () => `If-None-Match: ${etag()}`,
    () => `If-Range: ${etag()}`,
    () => `Range: bytes=${Array.from({ length: prng.pick([1, 2, 40, 500]) }, range).join(',')}`,
    () => `Content-Range: bytes ${range()}/${prng.pick(NUMBERS)}`,
    () => `Want-Repr-Digest: ${prng.pick(['sha-256', 'sha-256=0', 'x'])}`,
    () => `Repr-Digest: ${prng.pick(['sha-256=:eA==:', 'sha-256=:x', 'md5=:eA==:'])}`,
    () => `Accept-Encoding: ${prng.pick(['gzip', 'gzip;q=0', '*', 'br'])}`,
    () => `Tus-Resumable: ${prng.pick(['1.0.0', '1.0.0', '0.1'])}`,
    () => `Upload-Length: ${prng.pick(NUMBERS)}`,
    () => `Upload-Offset: ${prng.pick(NUMBERS)}`,
    () => `Upload-Metadata: filename ${Buffer.from(prng.pick(['a', 'b', '..', 'a/b', '\0', ''])).toString('base64')}`,
    () => `Content-Type: ${prng.pick(['application/offset+octet-stream', 'text/xml', 'x'])}`,
    () => `X-OC-Mtime: ${prng.pick(NUMBERS)}`,
    () => `Authorization: ${prng.pick(['Basic eDp5', 'Bearer x', 'x'])}`,
    () => `Expect: ${prng.pick(['100-continue', 'x'])}`,
    () => `Content-Encoding: ${prng.pick(['gzip', 'identity'])}`,
    () => `X: ${'x'.repeat(prng.pick([1, 1000, 20_000]))}`,
  ]
  // what belongs to a resumable upload comes together
  if (prng.chance(0.08)) {
    return [
      'Tus-Resumable: 1.0.0',
      `Upload-Length: ${prng.below(50)}`,
      `Upload-Offset: ${prng.below(20)}`,
      `Upload-Metadata: filename ${Buffer.from(prng.pick(['a', 'b', 'c'])).toString('base64')}`,
      'Content-Type: application/offset+octet-stream',
    ]
  }
  return Array.from({ length: prng.below(5) }, () => prng.pick(makers)())
}

const PROPERTIES = [
  ...[
    '<D:getetag/>',
    '<D:lockdiscovery/>',
    '<D:quota-used-bytes/>',
    '<x:p xmlns:x="u:"/>',
    '<p xmlns=""/>',
    '<__proto__ xmlns="u:"/>',
  ],
  ...[
    '<x:p xmlns:x="u:" xml:lang="de">v<b a="&lt;"/>]]&gt;</x:p>',
    '<D:getetag>1</D:getetag>',
    '<q xmlns="u:">&#x10FFFF;</q>',
  ],
  ...[
    '<Z:Win32LastModifiedTime xmlns:Z="urn:schemas-microsoft-com:">Sun, 06 Nov 1994 08:49:37 GMT</Z:Win32LastModifiedTime>',
  ],
  ...['<x:p/>', '<a>&e;</a>', '<a>&#0;</a>', '<a>&#xD800;</a>', `<l xmlns="u:">${'x'.repeat(17_000)}</l>`],
]

function bodyOf(prng: Prng, method: string): Buffer {
  if (prng.chance(0.1)) return prng.bytes(prng.below(200))
  const props = () => Array.from({ length: prng.below(4) }, () => prng.pick(PROPERTIES)).join('')
  switch (prng.chance(0.9) ? method : prng.pick(METHODS)) {
    case 'PROPFIND':
      return xml(
        prng,
        'propfind',
        prng.pick([
          '<D:allprop/>',
          '<D:propname/>',
          `<D:prop>${props()}</D:prop>`,
          `<D:allprop/><D:include>${props()}</D:include>`,
        ]),
      )
    case 'PROPPATCH': {
      const steps = Array.from({ length: 1 + prng.below(3) }, () => {
        const step = prng.pick(['set', 'set', 'remove', 'x'])
        return `<D:${step}><D:prop>${props()}</D:prop></D:${step}>`
      })
      return xml(prng, 'propertyupdate', steps.join(''))
    }
    case 'LOCK': {
      const scope = prng.pick(['exclusive', 'shared', 'shared', 'x'])
      const owner = prng.pick(['', '<D:owner><D:href>a</D:href></D:owner>', `<D:owner>${'o'.repeat(5000)}</D:owner>`])
      return xml(
        prng,
        'lockinfo',
        `<D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype>${owner}`,
      )
    }
    default:
      return prng.bytes(prng.pick([0, 1, 10, 5000, 20_000]))
  }
}

function xml(prng: Prng, root: string, content: string): Buffer {
  const text = `<?xml version="1.0"?>${prng.chance(0.02) ? '<!DOCTYPE a>' : ''}<D:${root} xmlns:D="DAV:">${content}</D:${root}>`
  if (prng.chance(0.03)) return Buffer.from(`\ufeff${text}`, 'utf16le')
  return Buffer.from(prng.chance(0.03) ? '<a>'.repeat(50) + text : text)
}
