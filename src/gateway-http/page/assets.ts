/**
 * The page's own scripts, styles and pictures: plain files in `assets/`, served as they are below `/.matrixfs/`, where no export can be (names of
 * exports begin with a letter or digit). The address holds a digest of all of them, so that a browser keeps them for ever and asks for others after an
 * update. A node of another version may be asked for them, too: it gives its own, not to be kept.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { Context } from 'koa'
import { contentTypeOf } from '../content-types.ts'
import { HttpFailure } from '../failure.ts'

/** First segment of their addresses. */
export const ASSETS_SEGMENT = '.matrixfs'

type Asset = { readonly type: string; readonly bytes: Buffer; readonly packed: Buffer }

const YEAR_S = 31_536_000

export class Assets {
  readonly #files: ReadonlyMap<string, Asset>
  /** Where they are: `/.matrixfs/DIGEST/`. */
  readonly base: string
  /** Names of what the page's script imports: a browser told of all at once need not find them one after the other. */
  readonly modules: readonly string[]
  readonly #digest: string

  constructor(files: ReadonlyMap<string, Asset>, digest: string) {
    this.#files = files
    this.#digest = digest
    this.base = `/${ASSETS_SEGMENT}/${digest}/`
    this.modules = [...files.keys()].filter((name) => name.endsWith('.js') && name !== 'page.js')
  }

  static load(folder = new URL('./assets/', import.meta.url)): Assets {
    const files = new Map<string, Asset>()
    const hash = createHash('sha256')
    for (const name of readdirSync(folder).sort()) {
      const bytes = readFileSync(new URL(name, folder))
      hash.update(`${name}\0${bytes.length}\0`).update(bytes)
      files.set(name, { type: contentTypeOf(name), bytes, packed: gzipSync(bytes, { level: 9 }) })
    }
    return new Assets(files, hash.digest('hex').slice(0, 16))
  }

  /** GET and HEAD of `path`, the segments below `/.matrixfs/`. */
  serve(ctx: Context, path: readonly string[]): void {
    const [digest, name = ''] = path
    const asset = path.length === 2 ? this.#files.get(name) : undefined
    if (!asset) throw new HttpFailure(404)
    if (ctx.method !== 'GET' && ctx.method !== 'HEAD') {
      throw new HttpFailure(405, undefined, { headers: { Allow: 'GET, HEAD' } })
    }
    ctx.status = 200
    ctx.set({
      'Content-Type': asset.type,
      'Cache-Control': digest === this.#digest ? `public, max-age=${YEAR_S}, immutable` : 'no-store',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'X-Content-Type-Options': 'nosniff',
      Vary: 'Accept-Encoding',
    })
    const packed = ctx.acceptsEncodings('gzip', 'identity') === 'gzip'
    if (packed) ctx.set('Content-Encoding', 'gzip')
    ctx.body = packed ? asset.packed : asset.bytes
  }
}
