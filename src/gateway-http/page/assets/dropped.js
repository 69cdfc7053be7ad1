/** What was dropped or chosen, as files with their paths: folders are walked through. */

/** @typedef {{ readonly file: File, readonly path: readonly string[] }} Chosen `path`: names from this folder to the file. */
/** @typedef {{ files: Chosen[], folders: (readonly string[])[], unreadable: string[] }} Selection */

/**
 * From a file chooser; with a folder chooser the browser names paths.
 * @param {FileList} list
 * @returns {Selection}
 */
export function fromChooser(list) {
  const files = [...list].map((file) => ({
    file,
    path: file.webkitRelativePath ? file.webkitRelativePath.split('/') : [file.name],
  }))
  return { files, folders: [], unreadable: [] }
}

/**
 * From a drop. The browser forgets the items once the event is over: they are all taken before anything is awaited.
 * @param {DataTransfer} data
 * @returns {Promise<Selection>}
 */
export async function fromDrop(data) {
  const entries = [...data.items].map((item) => (item.kind === 'file' ? item.webkitGetAsEntry() : null))
  /** @type {Selection} */
  const selection = { files: [], folders: [], unreadable: [] }
  if (entries.every((entry) => entry === null)) return fromChooser(data.files)
  for (const entry of entries) if (entry) await visit(entry, [entry.name], selection)
  return selection
}

/**
 * @param {FileSystemEntry} entry
 * @param {readonly string[]} path
 * @param {Selection} selection
 */
async function visit(entry, path, selection) {
  try {
    if (entry.isFile) {
      const file = await /** @type {Promise<File>} */ (
        new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject))
      )
      selection.files.push({ file, path })
      return
    }
    selection.folders.push(path)
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader()
    for (;;) {
      // Some hundred at a time, and none at the end.
      const some = await /** @type {Promise<FileSystemEntry[]>} */ (
        new Promise((resolve, reject) => reader.readEntries(resolve, reject))
      )
      if (some.length === 0) return
      for (const child of some) await visit(child, [...path, child.name], selection)
    }
  } catch {
    selection.unreadable.push(path.join('/'))
  }
}
