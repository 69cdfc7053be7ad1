/**
 * The SAN between nodes and LUNs: every node reaches the LUN files through a mount of its own (lun-mount.ts), which can be cut, and
 * every write that reaches a LUN is logged (write-log.ts).
 *
 *     DIR/san/<node>/<lun>   what the node opens
 *     DIR/san/writes.log     the log
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { clearStaleMount } from '../../../src/gateway-fuse/index.ts'
import type { Mode } from './lun-mount.ts'
import type { SanAnswer, SanCommand, SanServerOptions } from './san-server.ts'
import { readWriteLog, type Written } from './write-log.ts'

type Unsent<C> = C extends SanCommand ? Omit<C, 'id'> : never

export class SanSwitch {
  readonly #server: ChildProcess
  readonly #options: SanServerOptions
  readonly #nodes: readonly string[]
  readonly #waiting = new Map<number, () => void>()
  readonly #modes = new Map<string, Mode>()
  readonly #fenced = new Set<string>()
  #serial = 0

  /** `luns`: the real files. */
  static async start(dir: string, nodes: readonly string[], luns: readonly string[]): Promise<SanSwitch> {
    const directories = nodes.map((name) => join(dir, 'san', name))
    for (const directory of directories) {
      await clearStaleMount(directory)
      mkdirSync(directory, { recursive: true })
    }
    const options: SanServerOptions = { directories, luns, log: join(dir, 'san/writes.log') }
    const server = fork(new URL('./san-server.ts', import.meta.url), [JSON.stringify(options)])
    const san = new SanSwitch(server, options, nodes)
    await new Promise<void>((resolve, reject) => {
      server.on('message', (answer: SanAnswer) => {
        if ('ready' in answer) resolve()
        else if ('failed' in answer) reject(new Error(`the SAN switch could not start: ${answer.failed}`))
        else san.#done(answer.done)
      })
      server.on('exit', (code, signal) => reject(new Error(`the SAN switch ended with ${code ?? signal}`)))
    })
    return san
  }

  private constructor(server: ChildProcess, options: SanServerOptions, nodes: readonly string[]) {
    this.#server = server
    this.#options = options
    this.#nodes = nodes
  }

  /** What `node` opens as LUN file `lun`. */
  path(node: string, lun: string): string {
    return join(this.#directory(node), basename(lun))
  }

  async set(node: string, mode: Mode): Promise<void> {
    this.#modes.set(node, mode)
    await this.#apply(node)
  }

  /** Nothing of `node` reaches a LUN from now on, whatever its mode; what hung fails. Resolves once that is so. */
  async fence(node: string): Promise<void> {
    this.#fenced.add(node)
    await this.#apply(node)
  }

  /** Takes back `fence`. */
  async admit(node: string): Promise<void> {
    if (this.#fenced.delete(node)) await this.#apply(node)
  }

  async #apply(node: string): Promise<void> {
    const mode = this.#fenced.has(node) ? 'fail' : (this.#modes.get(node) ?? 'pass')
    await this.#ask({ kind: 'mode', node: this.#nodes.indexOf(node), mode })
  }

  /** Every write so far. */
  async writes(): Promise<readonly Written[]> {
    await this.#ask({ kind: 'flush' })
    return readWriteLog(this.#options.log)
  }

  /** After all nodes have ended. */
  async close(): Promise<void> {
    const ended = new Promise<void>((resolve) => {
      if (this.#server.exitCode !== null || this.#server.signalCode !== null) resolve()
      else this.#server.once('exit', () => resolve())
    })
    if (this.#server.connected) this.#server.disconnect()
    await ended
    for (const directory of this.#options.directories) await clearStaleMount(directory)
  }

  #directory(node: string): string {
    const directory = this.#options.directories[this.#nodes.indexOf(node)]
    if (directory === undefined) throw new Error(`no node ${node} at this switch`)
    return directory
  }

  #ask(command: Unsent<SanCommand>): Promise<void> {
    const id = ++this.#serial
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, resolve)
      this.#server.send({ ...command, id }, (error) => error && reject(error))
    })
  }

  #done(id: number): void {
    this.#waiting.get(id)?.()
    this.#waiting.delete(id)
  }
}
