/**
 * HTML in which nothing is unescaped by accident: `html` is the only way to make markup from values, and it escapes whatever is not
 * markup already. Values belong into text or into quoted attributes, nowhere else (no comments, no scripts, no bare attributes).
 */

export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** '', undefined and false show nothing. */
export type HtmlValue = Html | string | number | undefined | false | readonly Html[]

export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = strings[0] as string
  for (let i = 0; i < values.length; i++) text += render(values[i]) + strings[i + 1]
  return new Html(text)
}

export const nothing = new Html('')

function render(value: HtmlValue): string {
  if (value instanceof Html) return value.text
  if (value === undefined || value === false) return ''
  if (typeof value === 'object') {
    let text = ''
    for (const part of value) text += part.text
    return text
  }
  return escapeHtml(String(value))
}

const plain = /^[\x20\x21\x23-\x25\x28-\x3b\x3d\x3f-\x7e]*$/
const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Safe as text and in attributes with either kind of quotes. NUL and lone surrogates, which HTML cannot hold, become U+FFFD. */
export function escapeHtml(text: string): string {
  if (plain.test(text)) return text
  return text.replace(/[&<>"']/g, (character) => entities[character] as string).replace(/\0|\p{Surrogate}/gu, '\ufffd')
}
