/** Programs of the host that end-to-end tests use as clients: found, or a clear word on how to get them. */
import { spawnSync } from 'node:child_process'

/** Throws unless `program` is installed; `debianPackage` brings it. */
export function needProgram(program: string, debianPackage: string): void {
  const found = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
  if (!found) throw new Error(`this test uses ${program}: apt-get install ${debianPackage}`)
}
