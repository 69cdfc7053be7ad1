/**
 * `matrix lun add`, `import` and `remove`: the list of LUNs of a matrix is changed while it runs. A LUN that is added is labelled here; then the matrixd of
 * this machine is asked, which asks the administrator (docs/decisions/0008-lun-change-crash-points.md). Asking again for what is so already
 * does no harm, so that is what is done whenever the matrix has other things to do for a moment, and after an interruption.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlAnswer, ControlRequest } from '../../config/index.ts'
import { isMatrixError, MatrixError } from '../base/errors.ts'
import { realHost } from '../platform/real/host.ts'
import { formatLun, isIscsiUrl, type Label, type LunRecord, openLun, readLabel, resolveIscsiUrl } from '../san/index.ts'
import { checkNames, refuseLiveMembership } from './provision.ts'

/** Asks the running matrixd. */
export type AskNode = (request: ControlRequest) => Promise<Extract<ControlAnswer, { ok: true }>>
export type MatrixLuns = NonNullable<Extract<ControlAnswer, { ok: true }>['luns']>

/** Somebody is always at work in a matrix that loses a node; it is asked again for so long, ms. */
const PATIENCE_MS = 120_000
const AGAIN_MS = 500

export type AddLunOptions = {
  readonly url: string
  /** Matrix-wide name; left out: that of its label, or the next free one. */
  readonly name?: string | undefined
  /** Overwrite what is on it, unless the matrix has it. */
  readonly force?: boolean | undefined
}

/** Adds the LUN at `url`; gives what the list has of it. `tell`: why it takes longer. Rejects with what `formatLun` rejects with, 'exists', 'lun-refused', … */
export async function addLun(
  options: AddLunOptions,
  ask: AskNode,
  tell: (line: string) => void,
): Promise<LunRecord & { readonly matrixName: string }> {
  const url = absolute(options.url)
  const matrix = await lunsOf(ask)
  const { lunUuid, lunName, size } = await labelFor(matrix, { ...options, url })
  const lun: LunRecord = { uuid: lunUuid, name: lunName, size }
  await persist(() => ask({ command: 'add-lun', lun, url }), tell)
  return { ...lun, matrixName: matrix.matrixName }
}

/** Takes a LUN at `url` that bears a label of the matrix into its list, as it is: nothing is written to it here. Rejects with 'lun-unlabelled', 'lun-foreign', 'exists', 'lun-refused', … */
export async function importLun(
  given: string,
  ask: AskNode,
  tell: (line: string) => void,
): Promise<LunRecord & { readonly matrixName: string }> {
  const url = absolute(given)
  const { matrixUuid, matrixName } = await lunsOf(ask)
  const lun = await openLun(url, realHost)
  try {
    const { label } = await readLabel(lun)
    if (label.matrixUuid !== matrixUuid)
      throw new MatrixError(
        'lun-foreign',
        `${url} is LUN ${label.lunName} of matrix ${label.matrixName}, not of ${matrixName}: matrix lun add --force takes it, and what is on it is lost`,
      )
    const record: LunRecord = { uuid: label.lunUuid, name: label.lunName, size: label.size }
    await persist(() => ask({ command: 'add-lun', lun: record, url }), tell)
    return { ...record, matrixName }
  } finally {
    await lun.close()
  }
}

/** Rejects with 'not-found', 'in-use', … */
export async function removeLun(
  name: string,
  ask: AskNode,
  tell: (line: string) => void,
): Promise<LunRecord & { readonly matrixName: string }> {
  const { matrixName, luns } = await lunsOf(ask)
  const lun = luns.find((each) => each.name === name)
  if (!lun) {
    const names = luns.map((each) => each.name).join(', ')
    throw new MatrixError('not-found', `matrix ${matrixName} has no LUN ${name}; it has ${names}`)
  }
  await persist(() => ask({ command: 'remove-lun', uuid: lun.uuid }), tell)
  return { ...lun, matrixName }
}

export async function lunsOf(ask: AskNode): Promise<MatrixLuns> {
  const { luns } = await ask({ command: 'luns' })
  if (luns) return luns
  throw new MatrixError('protocol', 'matrixd does not know of LUNs that are added: it is older than this command')
}

/** The label that the LUN has for this matrix, or gets. */
async function labelFor(matrix: MatrixLuns, { url, name, force = false }: AddLunOptions): Promise<Label> {
  if (name !== undefined) checkNames([name])
  const { matrixUuid, matrixName, luns, pending } = matrix
  const lun = await openLun(url, realHost)
  try {
    const found = await readLabel(lun).then(
      ({ label }) => label,
      (error) => {
        if (isMatrixError(error, 'lun-unlabelled', 'lun-damaged', 'lun-foreign', 'format-version')) return undefined
        throw error
      },
    )
    const own = found?.matrixUuid === matrixUuid ? found : undefined
    const isListed = own !== undefined && (luns.some(({ uuid }) => uuid === own.lunUuid) || pending === own.lunUuid)
    if (own && (isListed || !force)) {
      // labelled by a change that was interrupted, or that was refused; or asked for again
      if (name === undefined || name === own.lunName) return own
      const what = isListed ? 'it is that of the matrix' : 'only --force labels it anew'
      throw new MatrixError('exists', `${url} is labelled as LUN ${own.lunName} of matrix ${matrixName}: ${what}`)
    }
    const lunName = name ?? freeName(luns)
    if (luns.some((each) => each.name === lunName))
      throw new MatrixError('exists', `matrix ${matrixName} has a LUN ${lunName} already; choose another --name`)
    await refuseLiveMembership([lun], [url])
    const label = { matrixUuid, matrixName, lunUuid: randomUUID(), lunName, partitions: 0 as const }
    return await formatLun(lun, label, { force })
  } finally {
    await lun.close()
  }
}

function freeName(luns: readonly LunRecord[]): string {
  for (let number = 1; ; number++) {
    const name = `lun${number}`
    if (!luns.some((lun) => lun.name === name)) return name
  }
}

/** As other nodes and other programs may use it. */
function absolute(url: string): string {
  if (isIscsiUrl(url)) return resolveIscsiUrl(url, (path) => resolve(path))
  if (/^[a-z][a-z0-9+.-]+:/i.test(url) && !url.startsWith('file:')) return url
  const path = url.replace(/^file:/, '')
  return path.startsWith('//') || !existsSync(path) ? url : `file:${resolve(path)}`
}

/** Until there is an answer. */
export async function persist<T>(once: () => Promise<T>, tell: (line: string) => void): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS
  let told = ''
  for (;;) {
    try {
      return await once()
    } catch (error) {
      if (!isMatrixError(error, 'view-changed', 'peer-gone', 'timeout') || performance.now() > deadline) throw error
      if (error.message !== told) tell(`waiting: ${error.message}`)
      told = error.message
    }
    await sleep(AGAIN_MS)
  }
}
