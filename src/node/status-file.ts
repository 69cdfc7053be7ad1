/**
 * Which NFS clients have to be told of a restart, as `nfs-clients.json` in state_dir: { state, hosts: [{ name, address, transport, localAddress }] }.
 * Replaced as a whole, and on stable storage before it counts.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'
import type { StatusRecord, StatusStore } from '../gateway-nfs/index.ts'
import type { Log } from '../platform/index.ts'

const schema = v.object({
  state: v.pipe(v.number(), v.integer(), v.minValue(0)),
  hosts: v.array(
    v.pipe(
      v.object({
        name: v.string(),
        address: v.pipe(v.string(), v.ip()),
        transport: v.picklist(['tcp', 'udp']),
        localAddress: v.optional(v.string()),
      }),
      v.transform(({ localAddress, ...host }) => ({ ...host, localAddress })),
    ),
  ),
})

export class StatusFile implements StatusStore {
  readonly #path: string
  readonly #log: Log

  constructor(stateDir: string, log: Log) {
    this.#path = join(stateDir, 'nfs-clients.json')
    this.#log = log
  }

  /** A damaged one is put aside: nobody of it is told, and the log says so. */
  async load(): Promise<StatusRecord | undefined> {
    const text = await readFile(this.#path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    if (text === undefined) return undefined
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text)
    if (parsed.success) return parsed.output
    const aside = `${this.#path}.damaged`
    await rename(this.#path, aside)
    this.#log.error(
      { file: aside, found: parsed.issues[0].message },
      'the record of nfs clients is damaged: clients that had locks are not told of the restart',
    )
    return undefined
  }

  async save(record: StatusRecord): Promise<void> {
    const beside = `${this.#path}.new`
    const file = await open(beside, 'w', 0o600)
    try {
      await file.writeFile(`${JSON.stringify(record, null, 1)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(beside, this.#path)
    if (process.platform === 'win32') return // directories cannot be synced there
    const folder = await open(dirname(this.#path), 'r')
    await folder.sync().finally(() => folder.close())
  }
}
