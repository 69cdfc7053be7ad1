/**
 * `matrix fs grow`: a filesystem gets further LUNs of its matrix, while it is in use. One after another, each asked of the matrixd of this
 * machine, which asks the administrator; asking again for what is so already does no harm.
 */
import { MatrixError } from '../base/errors.ts'
import { type AskNode, lunsOf, persist } from './lun-change.ts'

export type Grown = { readonly lun: string; readonly bytes: number }

/** The LUNs in the order given; `bytes`: what each has made free, 0 when that had been done before. Rejects with 'not-found', 'in-use', 'lun-refused', … */
export async function growFilesystem(
  filesystem: string,
  lunNames: readonly string[],
  ask: AskNode,
  tell: (line: string) => void,
): Promise<readonly Grown[]> {
  const { matrixName, luns } = await lunsOf(ask)
  const chosen = lunNames.map((name) => {
    const lun = luns.find((each) => each.name === name)
    if (lun) return lun
    const known = luns.map((each) => each.name).join(', ')
    throw new MatrixError(
      'not-found',
      `matrix ${matrixName} has no LUN ${name}; it has ${known}. Another one is added with: matrix lun add`,
    )
  })
  const grown: Grown[] = []
  for (const { name: lun, uuid } of chosen) {
    const { bytes = 0 } = await persist(() => ask({ command: 'grow-filesystem', filesystem, uuid }), tell)
    grown.push({ lun, bytes })
  }
  return grown
}
