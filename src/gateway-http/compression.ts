/**
 * gzip for what this gateway writes itself: listings shrink to a tenth. Files are sent as they are, so that ranges, entity tags and digests
 * mean the same to everybody, and what is compressed already is not compressed again.
 */
import { promisify } from 'node:util'
import { createGzip, gzip } from 'node:zlib'
import { type Call, header } from './call.ts'
import { Disconnected, send } from './outlet.ts'

/** Shorter texts are not worth it, characters or bytes. */
const MIN_LENGTH = 2048
/** Fast: a tenth is a tenth. */
const OPTIONS = { level: 2 }

const compress = promisify(gzip)

function isWanted(call: Call): boolean {
  for (const choice of (header(call, 'accept-encoding') ?? '').split(',')) {
    const [, quality = '1'] = /^\s*(?:gzip|\*)\s*(?:;\s*q\s*=\s*([\d.]+)\s*)?$/i.exec(choice) ?? [undefined, '0']
    if (Number(quality) > 0) return true
  }
  return false
}

/** The body of an answer, in one. */
export async function setText(call: Call, text: string | Buffer): Promise<void> {
  call.ctx.vary('Accept-Encoding')
  if (text.length < MIN_LENGTH || !isWanted(call)) {
    call.ctx.body = text
    return
  }
  const bytes = await compress(text, OPTIONS)
  call.ctx.set('Content-Encoding', 'gzip')
  call.ctx.body = bytes
}

export interface TextStream {
  /** The promise is there only when the client must first take what it has. */
  write(text: string | Buffer): Promise<void> | undefined
  end(text: string): void
}

/** A long answer, written bit by bit; its header is sent with this. */
export function streamText(call: Call, status: number, headers: Record<string, string>): TextStream {
  const { res } = call
  call.ctx.respond = false
  if (!isWanted(call)) {
    res.writeHead(status, { ...headers, Vary: 'Accept-Encoding' })
    return { write: (text) => send(res, text), end: (text) => void res.end(text) }
  }
  res.writeHead(status, { ...headers, Vary: 'Accept-Encoding', 'Content-Encoding': 'gzip' })
  const zip = createGzip(OPTIONS)
  zip.pipe(res)
  res.once('close', () => zip.destroy())
  return {
    write(text) {
      if (res.destroyed || res.closed) throw new Disconnected()
      if (zip.write(text)) return undefined
      return new Promise((resolve, reject) => {
        const settle = () => {
          zip.off('drain', settle)
          zip.off('close', settle)
          if (zip.destroyed) reject(new Disconnected())
          else resolve()
        }
        zip.on('drain', settle)
        zip.on('close', settle)
      })
    },
    end: (text) => void zip.end(text),
  }
}
