/**
 * The dashboard's files: those of `ui/`, and the browser's builds of its libraries as their packages bring them. All are read once, at the start, and nothing
 * else can be asked for. There is nothing to build: what is here is what the browser runs.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

export type Asset = { readonly type: string; readonly bytes: Buffer; readonly gzipped: Buffer; readonly etag: string }

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** By the names that the page's import map and links have for them. */
const libraries: Readonly<Record<string, string>> = {
  'preact.mjs': 'preact',
  'preact-hooks.mjs': 'preact/hooks',
  'htm.mjs': 'htm',
  'uplot.js': 'uplot/dist/uPlot.esm.js',
  'uplot.css': 'uplot/dist/uPlot.min.css',
}

export class Assets {
  /** By path below /_admin/: '' is the page. */
  readonly #files = new Map<string, Asset>()

  constructor() {
    const folder = new URL('./ui/', import.meta.url)
    for (const name of readdirSync(folder)) {
      const type = types[extname(name)]
      if (type) this.#add(name === 'index.html' ? '' : `ui/${name}`, type, new URL(name, folder))
    }
    for (const [name, specifier] of Object.entries(libraries))
      this.#add(`lib/${name}`, types[extname(name)] as string, new URL(import.meta.resolve(specifier)))
  }

  find(path: string): Asset | undefined {
    return this.#files.get(path)
  }

  /** Of the scripts that stand in the page itself, as a Content-Security-Policy wants them. */
  scriptHashes(): string[] {
    const page = this.find('')?.bytes.toString() ?? ''
    const inline = page.matchAll(/<script type="importmap">(.*?)<\/script>/gs)
    return [...inline].map(
      ([, text]) =>
        `sha256-${createHash('sha256')
          .update(text as string)
          .digest('base64')}`,
    )
  }

  #add(path: string, type: string, url: URL): void {
    const bytes = readFileSync(fileURLToPath(url))
    const etag = `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`
    this.#files.set(path, { type, bytes, gzipped: gzipSync(bytes), etag })
  }
}
