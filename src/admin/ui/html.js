/** htm bound to preact: markup as tagged templates, which browsers run as they are. */
import htm from 'htm'
import { h } from 'preact'

/** @type {(strings: TemplateStringsArray, ...values: unknown[]) => import('preact').VNode<any>} */
export const html = /** @type {any} */ (htm.bind(/** @type {any} */ (h)))
