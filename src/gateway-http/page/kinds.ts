/** What a file is to somebody who looks at a list of files: which picture stands beside it, and whether the page can show it. */
import { contentTypeOf } from '../content-types.ts'

export type Icon = 'folder' | 'image' | 'text' | 'code' | 'video' | 'audio' | 'archive' | 'pdf' | 'file'
export type Preview = 'image' | 'text' | 'video' | 'audio'

/** Image types that every browser of today shows. */
const shownImages = new Set(['avif', 'bmp', 'gif', 'ico', 'jpeg', 'jpg', 'png', 'svg', 'webp'])
const archives = new Set(['7z', 'bz2', 'gz', 'iso', 'rar', 'tar', 'tgz', 'xz', 'zip', 'zst'])
/** Programs and their settings, beyond what has a content type of text. */
const code = new Set(
  'bat bash cc cfg cjs clj cpp cs css diff env go gradle groovy h hpp hs htm html ini java js json jsx kt lua m4 mjs nix patch php pl properties ps1 py r rb rs scala sh sql svg swift toml ts tsx vue xml yaml yml zig zsh'.split(
    ' ',
  ),
)
const text = new Set('adoc asc bib csv ics log lst md nfo org rst srt tex text tsv txt vcf vtt'.split(' '))
/** Files that have no extension by custom. */
const textNames = new Set(
  'authors changelog changes containerfile contributing copying dockerfile gemfile install license makefile news notice procfile rakefile readme todo vagrantfile'.split(
    ' ',
  ),
)

function extensionOf(name: string): string {
  const dot = name.lastIndexOf('.')
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : ''
}

export function iconOf(name: string): Icon {
  const extension = extensionOf(name)
  if (archives.has(extension)) return 'archive'
  if (extension === 'pdf') return 'pdf'
  const type = contentTypeOf(name)
  if (code.has(extension)) return type.startsWith('image/') ? 'image' : 'code'
  if (type.startsWith('image/')) return 'image'
  if (type.startsWith('video/')) return 'video'
  if (type.startsWith('audio/')) return 'audio'
  return isText(name, extension) ? 'text' : 'file'
}

/** How the page shows it in a window of its own; undefined: not at all, the browser opens or stores it. */
export function previewOf(name: string): Preview | undefined {
  const extension = extensionOf(name)
  if (shownImages.has(extension)) return 'image'
  if (code.has(extension) || isText(name, extension)) return 'text'
  const type = contentTypeOf(name)
  if (type.startsWith('video/')) return 'video'
  return type.startsWith('audio/') ? 'audio' : undefined
}

function isText(name: string, extension: string): boolean {
  return text.has(extension) || (extension === '' && textNames.has(name.toLowerCase()))
}
