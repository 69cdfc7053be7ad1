/** The page's pictures: outlines on a grid of 24, drawn once at the start of a page and used by name. */
import { Html, html } from './html.ts'

const sheet = 'M6 3h8l4 4v14H6z M14 3v4h4'

const outlines = {
  folder:
    'M3 6.5A1.5 1.5 0 0 1 4.5 5h4.6l2.2 2.5h8.2A1.5 1.5 0 0 1 21 9v8.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5z',
  file: sheet,
  text: `${sheet} M9 12h6 M9 15h6 M9 18h4`,
  code: `${sheet} M10.5 12 8.5 14.5l2 2.5 M13.5 12l2 2.5-2 2.5`,
  pdf: `${sheet} M9 17.5c3-1.5 3.5-6 2.6-6s.3 4.5 4 4.7c-2.5-.2-4.6.3-6.6 1.3`,
  archive: `${sheet} M11 3v2 M13 5v2 M11 7v2 M13 9v2 M10.5 13h3v4h-3z`,
  image: 'M4 5h16v14H4z M4 16l4.5-4.5 4 4 2.5-2.5 5 5 M15.5 9.5h.01',
  video: 'M3.5 6.5h12v11h-12z M15.5 10.5l5-2.5v8l-5-2.5z',
  audio: 'M9 18V6l10-2v12 M9 18a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z M19 16a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0z',
  up: 'M12 19V6 M6.5 11.5 12 6l5.5 5.5',
  down: 'M12 5v13 M6.5 12.5 12 18l5.5-5.5',
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z M15.5 15.5 20 20',
  upload: 'M12 15V4 M7.5 8.5 12 4l4.5 4.5 M4 15v4.5h16V15',
  download: 'M12 4v11 M7.5 10.5 12 15l4.5-4.5 M4 15v4.5h16V15',
  'new-folder':
    'M3 6.5A1.5 1.5 0 0 1 4.5 5h4.6l2.2 2.5h8.2A1.5 1.5 0 0 1 21 9v8.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5z M12 10.5v5 M9.5 13h5',
  'upload-folder':
    'M3 6.5A1.5 1.5 0 0 1 4.5 5h4.6l2.2 2.5h8.2A1.5 1.5 0 0 1 21 9v8.5a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 17.5z M12 16v-5.5 M9.5 13 12 10.5l2.5 2.5',
  rename: 'M4 20l1-4.5L16.5 4 20 7.5 8.5 19z M14 6.5l3.5 3.5',
  trash: 'M4.5 7h15 M9.5 7V4.5h5V7 M6.5 7l1 13h9l1-13 M10.5 10.5v6 M13.5 10.5v6',
  close: 'M6 6l12 12 M18 6 6 18',
  next: 'M9 5l7 7-7 7',
  previous: 'M15 5l-7 7 7 7',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  alert: 'M12 4 2.5 20h19z M12 10v4.5 M12 17.3h.01',
  again: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9 M19.5 4v5h-5',
  open: 'M14 4h6v6 M20 4l-9 9 M18 14v6H4V6h6',
} as const

export type IconName = keyof typeof outlines

const sprite = new Html(
  `<svg class="sprite" aria-hidden="true" focusable="false">${Object.entries(outlines)
    .map(([name, path]) => `<symbol id="i-${name}" viewBox="0 0 24 24"><path d="${path}"/></symbol>`)
    .join('')}</svg>`,
)

export function iconSprite(): Html {
  return sprite
}

/** Decoration: what it stands for is said in words beside it. */
export function icon(name: IconName, kind = ''): Html {
  return html`<svg class="icon${kind && ` ${kind}`}" aria-hidden="true"><use href="#i-${name}"/></svg>`
}
