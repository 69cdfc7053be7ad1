/** A section of the page. */
import { html } from './html.js'

/** @param {{ id: string, title: string, aside?: unknown, wide?: boolean, children?: unknown }} props */
export function Card({ id, title, aside, wide = false, children }) {
  return html`
    <section class=${wide ? 'card wide' : 'card'} id=${id} aria-labelledby=${`${id}-title`}>
      <header>
        <h2 id=${`${id}-title`}>${title}</h2>
        ${aside && html`<div class="aside">${aside}</div>`}
      </header>
      ${children}
    </section>
  `
}

/** A table that scrolls within itself, by keyboard too. @param {{ label: string, children?: unknown }} props */
export function Scrolled({ label, children }) {
  return html`<div class="scrolled" tabindex="0" role="region" aria-label=${label}>${children}</div>`
}
