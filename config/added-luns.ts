/**
 * `luns.json` in a node's state_dir: where it has found LUNs that were added while it ran and that its configuration does not name (yet), so
 * that it finds them after a restart. Kept by matrixd; `matrix` looks there, too, when it is told LUNs by `--config`. Replaced as a whole.
 *
 *     {"luns":[{"uuid":"0a9c…","url":"file:/luns/lun3.img"}]}
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { MatrixError } from '../src/base/errors.ts'
import { replaceFile } from './run-file.ts'

const schema = v.strictObject({ luns: v.array(v.strictObject({ uuid: v.string(), url: v.string() })) })

export type AddedLun = v.InferOutput<typeof schema>['luns'][number]

export function addedLunsFile(stateDir: string): string {
  return join(stateDir, 'luns.json')
}

/** None when there is no such file. Throws MatrixError 'config' when it is not one of ours. */
export function readAddedLuns(stateDir: string): readonly AddedLun[] {
  const path = addedLunsFile(stateDir)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text)
  if (result.success) return result.output.luns
  throw new MatrixError(
    'config',
    `${path} is damaged (${result.issues[0].message}); remove it, and name all LUNs under luns in the configuration`,
  )
}

export function writeAddedLuns(stateDir: string, luns: readonly AddedLun[]): void {
  replaceFile(addedLunsFile(stateDir), `${JSON.stringify({ luns })}\n`)
}
