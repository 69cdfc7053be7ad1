/**
 * The fence script of a matrix under test: what a storage array's command line is to an operator. It asks this process, which has the SAN
 * switch, to cut a node off, and says 0 once that is so.
 *
 *     DIR/fence.sh        the script
 *     DIR/ask-NAME-PID    a script asks for node NAME; its name changes to done-… when that is done
 */
import { chmodSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const LOOK_MS = 20

export class FenceScript {
  /** What `fencing.script` names. */
  readonly path: string
  readonly #dir: string
  readonly #timer: NodeJS.Timeout

  /** `fence`: resolves once the node is cut off. */
  constructor(dir: string, fence: (node: string) => Promise<void>) {
    mkdirSync(dir, { recursive: true })
    this.#dir = dir
    this.path = join(dir, 'fence.sh')
    writeFileSync(
      this.path,
      `#!/bin/sh
ask="${dir}/ask-$1-$$"
done="${dir}/done-$1-$$"
: > "$ask"
until [ -e "$done" ]; do sleep 0.02; done
rm "$done"
`,
    )
    chmodSync(this.path, 0o700)
    const asked = new Set<string>()
    this.#timer = setInterval(() => {
      for (const name of readdirSync(dir)) {
        const [, node] = /^ask-(.+)-\d+$/.exec(name) ?? []
        if (node === undefined || asked.has(name)) continue
        asked.add(name)
        void fence(node).then(() => renameSync(join(this.#dir, name), join(this.#dir, name.replace('ask', 'done'))))
      }
    }, LOOK_MS)
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
