/**
 * The metadata images of all nodes, as their SQLite files stand in the nodes' state directories: once nothing changes any more, every
 * node has read every other's journal, and all images must be equal, row for row.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { wait } from './driver.ts'

/** Background work goes on for a while after the last client: freed space comes back, space set aside is returned. */
const PATIENCE_MS = 30_000

/** Resolves to the number of rows of each image; rejects when they do not become equal. */
export async function imagesEqual(stateDirs: readonly string[]): Promise<number> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const images = stateDirs.map(newestImage)
    if (new Set(images.map(({ hash }) => hash)).size === 1) return (images[0] as { rows: number }).rows
    if (performance.now() > deadline) {
      const vectors = images.map(({ vector }, i) => `${stateDirs[i]}: ${vector}`)
      throw new Error(`the images of the nodes did not become equal within ${PATIENCE_MS} ms:\n${vectors.join('\n')}`)
    }
    await wait(200)
  }
}

type Read = { readonly hash: string; readonly rows: number; readonly vector: string; readonly reached: number }

/** A node keeps one image, and while it loads another, two; the one that has come further is in use. */
function newestImage(stateDir: string): Read {
  const files = readdirSync(stateDir).filter((name) => /^home\.sqlite(-b)?$/.test(name))
  const images = files.map((name) => readImage(join(stateDir, name))).sort((a, b) => b.reached - a.reached)
  if (!images[0]) throw new Error(`no image in ${stateDir}${existsSync(stateDir) ? '' : ', which is not there'}`)
  return images[0]
}

function readImage(path: string): Read {
  const database = new Database(path, { readonly: true })
  try {
    database.exec('BEGIN')
    const names = database
      .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
      .pluck()
      .all() as string[]
    const hash = createHash('sha256')
    let rows = 0
    for (const name of names) {
      hash.update(`${name}\n`)
      for (const row of database.prepare(`SELECT * FROM ${name} ORDER BY 1, 2`).raw().all()) {
        hash.update(`${JSON.stringify(row)}\n`)
        rows++
      }
    }
    const vector = database.prepare('SELECT slot, lsn FROM vector ORDER BY slot').raw().all() as [number, number][]
    return {
      ...{ hash: hash.digest('hex'), rows },
      vector: vector.map(([slot, lsn]) => `${slot}:${lsn}`).join(' '),
      reached: vector.reduce((sum, [, lsn]) => sum + lsn, 0),
    }
  } finally {
    database.close()
  }
}
