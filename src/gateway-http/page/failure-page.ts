/** A failed GET of a browser, said on a page instead of in one line. */
import { STATUS_CODES } from 'node:http'
import type { Context } from 'koa'
import type { Assets } from './assets.ts'
import { documentEnd, documentStart, newNonce, pageHeaders } from './document.ts'
import { html } from './html.ts'
import { icon } from './icons.ts'

const words: Readonly<Record<number, { readonly title: string; readonly text: string }>> = {
  401: { title: 'Who are you?', text: 'Sign in to see this.' },
  403: { title: 'Not allowed', text: 'You have no permission to see this.' },
  404: { title: 'Not here', text: 'There is nothing at this address. It may have been moved, renamed or deleted.' },
  503: { title: 'Not now', text: 'This node cannot answer at the moment. Try again, or at another node.' },
}

export function wantsPage(ctx: Context): boolean {
  return (ctx.method === 'GET' || ctx.method === 'HEAD') && (ctx.get('Accept') ?? '').includes('text/html')
}

export function replyFailure(ctx: Context, assets: Assets, status: number, message: string): void {
  const nonce = newNonce()
  const { title, text } = words[status] ?? { title: STATUS_CODES[status] ?? 'Failed', text: '' }
  const page = html`${documentStart({ title, assets, nonce })}<div id="view" class="empty failure">${icon('alert')}
<h1>${title}</h1>
<p>${text}</p>
<p class="summary">${status} ${message}</p>
<p><a class="button" href="./">Up</a> <a class="button" href="/">Exports</a></p></div>${documentEnd}`
  ctx.set(pageHeaders(nonce))
  ctx.body = page.text
}
