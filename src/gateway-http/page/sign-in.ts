/**
 * Signing in on the page: an address that always asks who one is, since browsers ask for a password only when they are refused; where they had
 * been before, they go back to. The browser sends what it was given with everything it asks for from then on.
 */
import { answer, type Call, type Visitor } from '../call.ts'
import { hrefOf, parseTarget } from '../paths.ts'
import { ASSETS_SEGMENT } from './assets.ts'
import { type Html, html, nothing } from './html.ts'

/** Below the segment of the assets. */
export const SIGN_IN = 'sign-in'

/** To where the user came from: a folder of this server, whatever `to` says. */
export function signedIn(call: Call): void {
  const { segments } = parseTarget(new URLSearchParams(call.target.query).get('to') ?? '/')
  answer(call, 303, { Location: hrefOf(segments, true), 'Cache-Control': 'no-store' })
}

/** Beside the search: who one is, or the way to say so. */
export function whoLooks({ name, maySignIn }: Visitor, url: readonly string[]): Html {
  if (name !== undefined) return html`<span class="user"><bdi>${name}</bdi></span>`
  if (!maySignIn) return nothing
  const to = encodeURIComponent(hrefOf(url, true))
  return html`<a class="button" href="/${ASSETS_SEGMENT}/${SIGN_IN}?to=${to}">Sign in</a>`
}
