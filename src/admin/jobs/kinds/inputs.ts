/** Entries that inputs of several kinds have. Titles become labels of the form in the dashboard. */
import * as v from 'valibot'
import { MatrixError } from '../../../base/errors.ts'
import type { JobDesk } from '../job-desk.ts'

const MATRIX_NAME = /^[a-z0-9][a-z0-9_-]{0,31}$/

export function named(title: string) {
  return v.pipe(
    v.string(),
    v.regex(MATRIX_NAME, 'a name of 1…32 characters a-z, 0-9, - and _, not beginning with - or _'),
    v.title(title),
  )
}

export const lunUrl = v.pipe(
  v.string(),
  v.maxLength(1024),
  v.regex(
    /^(file:\/|block:\/|iscsi:\/\/)[^\0\s]+$/,
    'file: or block: and an absolute path, or iscsi://HOST/TARGET/LUN, such as file:/srv/lun3.img',
  ),
  v.title('URL of the LUN'),
)

/** Rejects with 'not-found' that names those there are. */
export async function lunNamed(name: string, { means, host }: JobDesk) {
  const luns = await means.luns.list()
  const lun = luns.find((each) => each.name === name)
  if (lun) return lun
  const known = luns.map((each) => each.name).join(', ')
  throw new MatrixError('not-found', `matrix ${host.matrixName} has no LUN ${name}; it has ${known}`)
}

/** The record of a filesystem. Rejects as `lunNamed`. */
export async function filesystemNamed(name: string, { host }: JobDesk) {
  const { filesystems } = await host.readDatabase()
  const record = filesystems.find((each) => each.name === name)
  if (record) return record
  const known = filesystems.map((each) => each.name).join(', ') || 'none'
  throw new MatrixError('not-found', `matrix ${host.matrixName} has no filesystem ${name}; it has ${known}`)
}
