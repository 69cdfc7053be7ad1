/** What every table says of where it was measured, and where it is kept. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { join } from 'node:path'

export function machine(): string {
  return `${cpus().length} × ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}`
}

export function commit(): string {
  const { stdout } = spawnSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' })
  return stdout.trim() || 'of unknown commit'
}

/** Keeps the table, and what it was made from; gives where, for people. */
export function save(prefix: string, text: string, raw: unknown): string {
  const folder = join(import.meta.dirname, 'results')
  mkdirSync(folder, { recursive: true })
  const name = `${prefix}${new Date().toISOString().slice(0, 10)}-${commit()}`
  writeFileSync(join(folder, `${name}.md`), text)
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(raw, null, 1)}\n`)
  return `bench/results/${name}.md`
}
