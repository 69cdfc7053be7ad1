/** A node of a demo, started with a configuration in which somebody has to log in, and which has a virtual host to show. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Demo } from '../demo.ts'

const matrixd = new URL('../../../src/node/main.ts', import.meta.url).pathname
const cli = new URL('../../../src/cli/main.ts', import.meta.url).pathname
const LIMIT_MS = 60_000

export class GuardedNode {
  readonly url: string
  readonly password = 'correct horse battery staple'
  readonly #child: ChildProcess

  private constructor(url: string, child: ChildProcess) {
    this.url = url
    this.#child = child
  }

  /** `name` does not run. Its virtual host is never taken, since its interface is none of this machine. */
  static async start(demo: Demo, name: string, dir: string): Promise<GuardedNode> {
    const users = join(dir, 'users.json')
    const { url } = demo.node(name).admin as { url: string }
    const own = readFileSync(join(demo.dir, `${name}.toml`), 'utf8')
    const config = join(demo.dir, `${name}-guarded.toml`)
    const guard = `[admin]\nusers = "${users}"\nviewers = ["vera"]\noperators = ["otto"]\n`
    const host = `[[virtual_hosts]]\nname = "files"\naddress = "127.77.0.5/32"\ninterface = "none0"\nnodes = ["${name}"]\n`
    const text = own.replace(/^anonymous = "operator"\n/m, '').replace('[admin]\n', guard)
    writeFileSync(config, `${text}\n${host}`, { mode: 0o600 })
    const child = spawn(process.execPath, [matrixd, '--config', config], { stdio: 'ignore' })
    const node = new GuardedNode(url, child)
    for (const user of ['vera', 'otto']) {
      const { status, stderr } = spawnSync(
        process.execPath,
        [cli, 'user', 'add', user, '--uid', '1000', '--gid', '1000', '--users', users],
        {
          input: `${node.password}\n`,
          encoding: 'utf8',
        },
      )
      if (status !== 0) throw new Error(`user add ${user}: ${stderr}`)
    }
    for (const until = Date.now() + LIMIT_MS; ; await sleep(100)) {
      const isUp = await fetch(new URL('api/session', url)).then(
        ({ ok }) => ok,
        () => false,
      )
      if (isUp) return node
      if (child.exitCode !== null || Date.now() > until)
        throw new Error(`${name} did not start again: ${child.exitCode}`)
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
  }
}
