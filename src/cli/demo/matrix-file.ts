/**
 * DIR/matrix.json: where other programs read how to reach the demo. Its keys are a promise; new ones may be added.
 *
 * The demo writes it once all nodes serve, and `start-node` when a node serves again. The pids come from the run files, which
 * each node keeps itself. Whoever has written it reads the run files once more and writes again when a pid has changed
 * meanwhile: so of several that write at once, the last one leaves the present pids.
 */
import { readFileSync } from 'node:fs'
import { readRunFile, replaceFile } from '../../../config/index.ts'
import { type DemoLayout, type DemoSettings, FILESYSTEM, HOST, MATRIX_NAME, nodeNames, portsOf } from './layout.ts'

export type MatrixFile = {
  readonly matrix: string
  readonly nodes: readonly {
    readonly name: string
    readonly pid: number
    readonly nfs: {
      readonly host: string
      /** Of NFS and its helpers. */
      readonly port: number
      readonly mountPort: number
      readonly portmapPort: number
      readonly export: string
    }
    readonly http: { readonly url: string }
    /** Where the node has mounted the filesystem; absent without --mount. */
    readonly mount?: string
  }[]
  /** `path`: of a file that the demo has made; otherwise `url`. */
  readonly luns: readonly { readonly name: string; readonly path?: string; readonly url?: string }[]
}

/** How often a file that changes under our hands is written before it is taken as it is. */
const WRITE_LIMIT = 10

export function describeMatrix(layout: DemoLayout, settings: DemoSettings): MatrixFile {
  return {
    matrix: MATRIX_NAME,
    nodes: nodeNames(settings.nodes).map((name, index) => {
      const { nfs, http, portmap } = portsOf(settings.basePort, index + 1)
      return {
        name,
        pid: readRunFile(layout.runFile(name))?.process.pid ?? 0,
        nfs: { host: HOST, port: nfs, mountPort: nfs, portmapPort: portmap, export: `/${FILESYSTEM}` },
        http: { url: `http://${HOST}:${http}/${FILESYSTEM}/` },
        ...(settings.mount && { mount: layout.mountFolder(name) }),
      }
    }),
    luns: layout
      .luns(settings)
      .map(({ name, url, path }) => (path === undefined || settings.san ? { name, url } : { name, path })),
  }
}

export function writeMatrixFile(layout: DemoLayout, settings: DemoSettings): MatrixFile {
  let matrix = describeMatrix(layout, settings)
  for (let tries = 0; tries < WRITE_LIMIT; tries++) {
    replaceFile(layout.matrixFile, `${JSON.stringify(matrix, null, 2)}\n`)
    const written = JSON.stringify(matrix)
    matrix = describeMatrix(layout, settings)
    if (JSON.stringify(matrix) === written) break
  }
  return matrix
}

export function readMatrixFile(layout: DemoLayout): MatrixFile {
  return JSON.parse(readFileSync(layout.matrixFile, 'utf8')) as MatrixFile
}
