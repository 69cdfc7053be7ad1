/** Questions to the user. */
import { make } from './dom.js'

/**
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<string>} What it was closed with; '' when it was only closed.
 */
function show(dialog) {
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove()
      resolve(dialog.returnValue)
    })
    document.body.append(dialog)
    dialog.showModal()
  })
}

let titles = 0

/**
 * @param {string} title
 * @param {...Node} content
 */
function frame(title, ...content) {
  const id = `title-${++titles}`
  return make('dialog', { 'aria-labelledby': id }, make('h2', { id }, title), ...content)
}

/**
 * @param {{ title: string, text: string, list: string[], action: string }} question
 * @returns {Promise<boolean>}
 */
export async function confirm({ title, text, list, action }) {
  const few = list.slice(0, 6)
  const items = few.map((item) => make('li', {}, make('bdi', {}, item)))
  if (list.length > few.length) items.push(make('li', {}, `… and ${list.length - few.length} more`))
  const dialog = frame(
    title,
    make('p', {}, text),
    make('ul', {}, ...items),
    make(
      'form',
      { method: 'dialog', class: 'choices' },
      make('button', { class: 'button', value: '' }, 'Cancel'),
      make('button', { class: 'button danger', value: 'yes' }, action),
    ),
  )
  return (await show(dialog)) === 'yes'
}

/**
 * Asks for a name until `submit` has no objection, which is shown beside the field.
 * @param {{ title: string, label: string, value: string, action: string, submit: (name: string) => Promise<string | undefined> }} question
 * @returns {Promise<boolean>} False: the user gave up.
 */
export async function askName({ title, label, value, action, submit }) {
  const field = make('input', {
    type: 'text',
    value,
    spellcheck: 'false',
    autocomplete: 'off',
    'aria-describedby': 'problem',
  })
  const problem = make('p', { class: 'problem', id: 'problem', role: 'alert' })
  const accept = make('button', { class: 'button primary' }, action)
  const form = make(
    'form',
    {},
    make('label', {}, label, field),
    problem,
    make(
      'div',
      { class: 'choices' },
      make('button', { type: 'button', class: 'button', click: () => dialog.close('') }, 'Cancel'),
      accept,
    ),
  )
  const dialog = frame(title, form)
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    accept.disabled = true
    const objection = await submit(field.value)
    accept.disabled = false
    if (objection === undefined) dialog.close('done')
    else {
      problem.textContent = objection
      field.focus()
    }
  })
  const answer = show(dialog)
  field.focus()
  // The end of a name says what it is; most want to keep it.
  const dot = value.lastIndexOf('.')
  field.setSelectionRange(0, dot > 0 ? dot : value.length)
  return (await answer) === 'done'
}

/** @typedef {'replace' | 'keep' | 'skip'} Choice */

/**
 * What to do about a name that is taken.
 * @param {string} name
 * @param {boolean} more There are further files to come.
 * @returns {Promise<{ choice: Choice, always: boolean }>}
 */
export async function askConflict(name, more) {
  const always = make('input', { type: 'checkbox' })
  const dialog = frame(
    'It exists already',
    make('p', {}, make('bdi', {}, name), ' is already there. Replace it with the new one?'),
    make(
      'form',
      { method: 'dialog' },
      ...(more ? [make('label', { class: 'check' }, always, 'Do the same for all others')] : []),
      make(
        'div',
        { class: 'choices' },
        make('button', { class: 'button', value: 'skip' }, 'Skip'),
        make('button', { class: 'button', value: 'keep' }, 'Keep both'),
        make('button', { class: 'button primary', value: 'replace' }, 'Replace'),
      ),
    ),
  )
  const answer = await show(dialog)
  return { choice: answer === 'replace' || answer === 'keep' ? answer : 'skip', always: always.checked }
}

const keys = [
  ['↑ ↓', 'go through the list'],
  ['Enter', 'open'],
  ['Space', 'select'],
  ['Ctrl A', 'select all'],
  ['F2', 'rename'],
  ['Delete', 'delete what is selected'],
  ['← →', 'in a preview: the previous, the next'],
  ['Alt ↑', 'one folder up'],
  ['/', 'search'],
  ['Esc', 'select nothing; close'],
  ['?', 'this help'],
]

export async function showKeys() {
  const list = make('dl', { class: 'keys' })
  for (const [key, meaning] of keys) list.append(make('dt', {}, make('kbd', {}, key)), make('dd', {}, meaning))
  await show(
    frame(
      'Keys',
      list,
      make('form', { method: 'dialog', class: 'choices' }, make('button', { class: 'button' }, 'Close')),
    ),
  )
}
