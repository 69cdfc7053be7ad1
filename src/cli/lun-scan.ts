/**
 * `matrix lun scan`: what lies where LUNs may be, and whether the matrix has it. Reads only: labels, and nothing is taken for a LUN that is too small
 * for one. A folder stands for the files in it.
 */
import { readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { isMatrixError } from '../base/errors.ts'
import { formatSize } from '../base/units.ts'
import { realHost } from '../platform/real/host.ts'
import { MIN_LUN_SIZE, openLun, readLabel } from '../san/index.ts'
import type { MatrixLuns } from './lun-change.ts'
import { formatTable } from './table.ts'

/**
 * `listed`: a LUN of the matrix. `labelled`: it has a label of the matrix, and is not in its list: a change was interrupted or refused, or it
 * was removed. `foreign`: of another matrix. `unlabelled`: blank, or something else. `unreadable`.
 */
export type FoundLun = {
  readonly url: string
  readonly size: number | undefined
  readonly kind: 'listed' | 'labelled' | 'foreign' | 'unlabelled' | 'unreadable'
  /** Its name, the name of its matrix, or what is wrong. */
  readonly what: string
}

/** Where the LUNs of these URLs lie: what is beside them is looked at when no place is given. */
export function placesOf(urls: readonly string[]): readonly string[] {
  const paths = urls.filter((url) => url.startsWith('/') || url.startsWith('file:/'))
  return [...new Set(paths.map((url) => dirname(url.replace(/^file:(\/\/)?/, ''))))]
}

export async function scanLuns(places: readonly string[], matrix: MatrixLuns): Promise<readonly FoundLun[]> {
  const found: FoundLun[] = []
  for (const url of places.flatMap(urlsIn)) found.push(await look(url, matrix))
  return found
}

/** A folder's files that are large enough; of anything else itself. */
function urlsIn(place: string): readonly string[] {
  const path = place.replace(/^file:/, '')
  const stat = statSync(path, { throwIfNoEntry: false })
  if (!stat?.isDirectory()) return [stat ? `file:${resolve(path)}` : place]
  return readdirSync(path)
    .sort()
    .map((name) => resolve(join(path, name)))
    .filter((file) => {
      const each = statSync(file, { throwIfNoEntry: false })
      return each?.isFile() === true && each.size >= MIN_LUN_SIZE
    })
    .map((file) => `file:${file}`)
}

async function look(url: string, { matrixUuid, luns }: MatrixLuns): Promise<FoundLun> {
  let size: number | undefined
  try {
    const lun = await openLun(url, realHost)
    size = lun.size
    try {
      const { label } = await readLabel(lun)
      if (label.matrixUuid !== matrixUuid)
        return { url, size, kind: 'foreign', what: `LUN ${label.lunName} of matrix ${label.matrixName}` }
      const listed = luns.find(({ uuid }) => uuid === label.lunUuid)
      if (!listed) return { url, size, kind: 'labelled', what: label.lunName }
      const more = size > listed.size ? `, uses ${formatSize(listed.size)} of it (matrix lun grow)` : ''
      return { url, size, kind: 'listed', what: `${listed.name}${more}` }
    } finally {
      await lun.close()
    }
  } catch (error) {
    if (!isMatrixError(error)) throw error
    return { url, size, kind: error.code === 'lun-unlabelled' ? 'unlabelled' : 'unreadable', what: error.message }
  }
}

const offers: Record<FoundLun['kind'], (what: string) => string> = {
  listed: (what) => `LUN ${what}`,
  labelled: (what) => `labelled as LUN ${what}, not in the list: matrix lun import takes it`,
  foreign: (what) => `${what}: matrix lun add --force takes it, and what is on it is lost`,
  unlabelled: (what) => `no LUN yet: matrix lun add (${what.includes('blank') ? 'it is blank' : 'something is there'})`,
  unreadable: (what) => what,
}

export function describeFound(found: readonly FoundLun[]): string {
  if (found.length === 0) return 'nothing there is large enough for a LUN'
  const rows = found.map(({ url, size, kind, what }) => {
    return [url, size === undefined ? '' : formatSize(size), offers[kind](what)]
  })
  return formatTable(['where', 'size', 'what'], rows)
}
