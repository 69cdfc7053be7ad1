/** New folder, rename, delete. */
import { askName, confirm } from './dialogs.js'
import { count, notify, say } from './dom.js'
import { ask, here, problemOf, segment } from './requests.js'
import { folderOf, linkOf, nameOf, refresh } from './view.js'

export async function newFolder() {
  let made = ''
  const done = await askName({
    title: 'New folder',
    label: 'Name',
    value: '',
    action: 'Create',
    submit: async (name) => {
      const problem = problemOf(name)
      if (problem) return problem
      const { ok, message } = await ask('MKCOL', here + segment(name))
      made = name
      return ok ? undefined : message
    },
  })
  if (!done) return
  await refresh()
  notify(`“${made}” was created.`, 'done')
}

/** @param {Element} row */
export async function rename(row) {
  const { href } = linkOf(row)
  const value = nameOf(row)
  let renamed = value
  const done = await askName({
    title: 'Rename',
    label: 'New name',
    value,
    action: 'Rename',
    submit: async (name) => {
      const problem = problemOf(name)
      if (problem) return problem
      renamed = name
      if (name === value) return undefined
      // With Overwrite: F the server refuses a name that is taken, whoever was faster.
      const headers = { Destination: folderOf(href) + segment(name), Overwrite: 'F' }
      const { ok, message } = await ask('MOVE', href, headers)
      return ok ? undefined : message
    },
  })
  if (!done || renamed === value) return
  await refresh()
  notify(`“${value}” is now “${renamed}”.`, 'done')
}

/** Deletions under way at a time. */
const AT_A_TIME = 4

/** @param {Element[]} chosen */
export async function remove(chosen) {
  const folders = chosen.filter((row) => row.getAttribute('data-kind') === 'folder').length
  const what = chosen.length === 1 ? `“${nameOf(/** @type {Element} */ (chosen[0]))}”` : count(chosen.length, 'item')
  const agreed = await confirm({
    title: `Delete ${what}?`,
    text: folders > 0 ? 'Folders go with everything in them. There is no way back.' : 'There is no way back.',
    list: chosen.length > 1 ? chosen.map(nameOf) : [],
    action: 'Delete',
  })
  if (!agreed) return
  const waiting = [...chosen]
  /** @type {string[]} */
  const failures = []
  let deleted = 0
  const work = async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      const { ok, status, message } = await ask('DELETE', linkOf(row).href)
      // Somebody else was faster: it is gone, as was wanted.
      if (ok || status === 404) deleted++
      else failures.push(`${nameOf(row)}: ${message}`)
      say(`${deleted} of ${chosen.length} deleted`)
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, work))
  await refresh()
  if (failures.length === 0) notify(`${what} ${chosen.length === 1 ? 'was' : 'were'} deleted.`, 'done')
  else {
    const few = failures.slice(0, 4).join('\n')
    const more = failures.length > 4 ? `\n… and ${failures.length - 4} more` : ''
    notify(`${deleted > 0 ? `${deleted} deleted, but not all.\n` : ''}${few}${more}`, 'failed')
  }
}
