/** `tls_cert` and `tls_key` of what is served over HTTP: the keys themselves, how they fit each other, and what the program gets. */
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import type { ConfigFiles } from './files.ts'
import { privateFileProblem } from './private-file.ts'
import { incomplete } from './problems.ts'
import { path } from './values.ts'

export const tlsKeys = {
  tls_cert: v.optional(
    path(
      'Certificate of this node with those of its issuers (PEM), for HTTPS instead of HTTP. Together with `tls_key`; both may be replaced at any time.',
    ),
  ),
  tls_key: v.optional(path('The private key of `tls_cert` (PEM). Only its owner may be able to read it.')),
}
type WrittenTls = { readonly tls_cert?: string | undefined; readonly tls_key?: string | undefined }

/** `table`: where they stand, such as "http"; `written` may be partly unchecked. */
export function tlsKeyProblems(table: string, written: WrittenTls, file: string, files: ConfigFiles): string[] {
  const problems = incomplete(table, written, ['tls_cert', 'tls_key'])
  const { tls_key: key } = written
  if (typeof key !== 'string') return problems
  const problem = privateFileProblem(`${table}.tls_key`, resolve(dirname(file), key), files)
  return problem === undefined ? problems : [...problems, problem]
}

/** With absolute paths; nothing unless both are there. */
export function tlsOf(
  folder: string,
  { tls_cert: cert, tls_key: key }: WrittenTls,
): { readonly tls?: { readonly cert: string; readonly key: string } } {
  if (cert === undefined || key === undefined) return {}
  return { tls: { cert: resolve(folder, cert), key: resolve(folder, key) } }
}
