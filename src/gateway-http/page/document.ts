/** What all pages have around their content, and how they are sent. */
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Context } from 'koa'
import { hrefOf } from '../paths.ts'
import { pageProtection } from '../protection.ts'
import type { Assets } from './assets.ts'
import { type Html, html, nothing } from './html.ts'
import { icon, iconSprite } from './icons.ts'
import { shownName } from './shown-name.ts'

const pack = promisify(gzip)

export type Frame = {
  readonly title: string
  readonly assets: Assets
  readonly nonce: string
  /** Beside the name of the project. */
  readonly search?: Html
  readonly user?: Html
}

export function newNonce(): string {
  return randomBytes(16).toString('base64url')
}

export function documentStart({ title, assets, nonce, search = nothing, user = nothing }: Frame): Html {
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="${assets.base}icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${assets.base}page.css" nonce="${nonce}">
${assets.modules.map(
  (name) => html`<link rel="modulepreload" href="${assets.base}${name}" nonce="${nonce}">
`,
)}<script type="module" src="${assets.base}page.js" nonce="${nonce}"></script>
</head>
<body>
${iconSprite()}
<a class="skip" href="#view">Skip to the files</a>
<header class="top">
<a class="brand" href="/"><svg class="logo" viewBox="0 0 24 24" aria-hidden="true"><path d="M4 4h6v6H4z M14 4h6v6h-6z M4 14h6v6H4z M14 14h6v6h-6z M10 7h4 M10 17h4 M7 10v4 M17 10v4"/></svg>matrixfs</a>
${search}${user}
</header>
<main>
`
}

export const documentEnd: Html = html`
</main>
</body>
</html>
`

/** The way from the exports down to `url`, whose last name is the page's heading. */
export function breadcrumbs(url: readonly string[]): Html {
  const above = url
    .slice(0, -1)
    .map(
      (name, i) =>
        html`<li><a href="${hrefOf(url.slice(0, i + 1), true)}"><bdi>${shownName(name)}</bdi></a>${icon('next')}</li>`,
    )
  const here = url.at(-1)
  if (here === undefined) return html`<nav aria-label="Path"><ol class="crumbs"><li><h1>Exports</h1></li></ol></nav>`
  return html`<nav aria-label="Path"><ol class="crumbs"><li><a href="/">Exports</a>${icon('next')}</li>${above}<li aria-current="page"><h1><bdi>${shownName(here)}</bdi></h1></li></ol></nav>`
}

export function searchForm(where: string, text: string): Html {
  return html`<form class="search" role="search" method="get" action="./">
${icon('search')}<input type="search" name="search" value="${text}" maxlength="255" autocomplete="off" spellcheck="false" placeholder="Search in ${where}" aria-label="Search by name in ${where} and below">
</form>`
}

export function pageHeaders(nonce: string): Record<string, string> {
  return {
    'Content-Type': 'text/html; charset=utf-8',
    // What a directory holds may have changed by the next look; another user may see something else.
    'Cache-Control': 'private, no-cache',
    Vary: 'Accept-Encoding',
    ...pageProtection(nonce),
  }
}

export async function replyPage(ctx: Context, nonce: string, page: Html, status = 200): Promise<void> {
  const bytes = Buffer.from(page.text)
  const packed = ctx.acceptsEncodings('gzip', 'identity') === 'gzip'
  const body = packed ? await pack(bytes, { level: 4 }) : bytes
  ctx.status = status
  ctx.set(pageHeaders(nonce))
  if (packed) ctx.set('Content-Encoding', 'gzip')
  ctx.body = body
}
