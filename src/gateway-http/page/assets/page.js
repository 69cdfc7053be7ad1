/** Brings the page to life: everything here comes on top of a page that works without it. */
import { newFolder } from './changes.js'
import './keys.js'
import './preview.js'
import './selection.js'
import { chooseFiles, chooseFolder } from './uploads.js'
import { view, viewIsThere } from './view.js'

document.documentElement.classList.add('with-script')

/** @type {Readonly<Record<string, () => void>>} */
const actions = { upload: chooseFiles, 'upload-folder': chooseFolder, 'new-folder': () => void newFolder() }

for (const [name, run] of Object.entries(actions)) {
  const button = document.querySelector(`[data-do="${name}"]`)
  if (!(button instanceof HTMLElement)) continue
  // Phones have no folders to choose.
  button.hidden = name === 'upload-folder' && matchMedia('(pointer: coarse)').matches
  button.addEventListener('click', run)
}

if (view()) viewIsThere()
