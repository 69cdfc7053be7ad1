/**
 * gzip, where it helps: listings shrink to a tenth, text files to a third. Of files only a whole one is sent so, to whom says that he takes it,
 * and as a representation of its own with a tag of its own (etag.ts): ranges, digests and lengths are of the file as it is. What is compressed already is
 * not compressed again.
 */
import type { ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { createGzip, gzip } from 'node:zlib'
import { type Call, header } from './call.ts'
import { Disconnected, drained, type Outlet, PlainOutlet } from './outlet.ts'

/** Less is not worth it: bytes of a file, characters of a text. */
export const MIN_LENGTH = 2048
/** Fast: a tenth is a tenth. */
const OPTIONS = { level: 2 }

const compress = promisify(gzip)

/** RFC 9110 12.5.3: what is said of gzip itself goes before what is said of all. */
export function takesGzip(call: Call): boolean {
  let others = false
  for (const choice of (header(call, 'accept-encoding') ?? '').split(',')) {
    const [, coding, quality = '1'] = /^\s*((?:x-)?gzip|\*)\s*(?:;\s*q\s*=\s*([\d.]+)\s*)?$/i.exec(choice) ?? []
    if (coding === undefined) continue
    if (coding !== '*') return Number(quality) > 0
    others = Number(quality) > 0
  }
  return others
}

/** The body of an answer, in one. */
export async function setText(call: Call, text: string | Buffer): Promise<void> {
  call.ctx.vary('Accept-Encoding')
  if (text.length < MIN_LENGTH || !takesGzip(call)) {
    call.ctx.body = text
    return
  }
  const bytes = await compress(text, OPTIONS)
  call.ctx.set('Content-Encoding', 'gzip')
  call.ctx.body = bytes
}

/** A long answer, written bit by bit; its header is sent with this. */
export function streamText(call: Call, status: number, headers: Record<string, string>): Outlet {
  const { ctx, res } = call
  ctx.respond = false
  ctx.vary('Accept-Encoding')
  const isPacked = takesGzip(call)
  res.writeHead(status, isPacked ? { ...headers, 'Content-Encoding': 'gzip' } : headers)
  return isPacked ? new GzipOutlet(res) : new PlainOutlet(res)
}

/** What is written leaves compressed. */
export class GzipOutlet implements Outlet {
  readonly #res: ServerResponse
  readonly #zip = createGzip(OPTIONS)

  constructor(res: ServerResponse) {
    this.#res = res
    this.#zip.pipe(res)
    res.once('close', () => this.#zip.destroy())
  }

  write(chunk: Buffer | string, done?: () => void): Promise<void> | undefined {
    if (this.#res.destroyed || this.#res.closed) throw new Disconnected()
    const room = this.#zip.write(chunk, (error) => {
      if (!error) done?.()
    })
    return room ? undefined : drained(this.#zip)
  }

  end(chunk?: string): void {
    this.#zip.end(chunk)
  }
}
