/**
 * Jobs of a demo: started by the control socket of a node, as `matrix job` does, watched by the API of any; and `matrix job` itself, which takes a process
 * each time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import type { ControlRequest } from '../../../config/index.ts'
import * as api from '../../../src/admin/api/jobs.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { ask } from '../../../src/cli/ask-node.ts'
import { type Outcome, runProgram } from '../../helpers/program.ts'
import type { Demo } from '../demo.ts'

const cli = new URL('../../../src/cli/main.ts', import.meta.url).pathname

export class JobClient {
  readonly #demo: Demo

  constructor(demo: Demo) {
    this.#demo = demo
  }

  /** `matrix job …` at a node. */
  command(node: string, ...args: string[]): Promise<Outcome> {
    const config = ['--config', `${this.#demo.dir}/${node}.toml`]
    return runProgram(process.execPath, [cli, 'job', ...args, ...config], { limitMs: 120_000 })
  }

  /** Its reference, KIND/ID. Rejects as `matrix job start` does. */
  async start(node: string, kind: string, input: Record<string, string>): Promise<string> {
    const { id } = await this.#ask(node, { command: 'start-job', kind, input, by: 'a test' })
    return `${kind}/${id}`
  }

  /** Rejects as `matrix job cancel` does. */
  async cancel(node: string, reference: string): Promise<void> {
    const [kind = '', id = ''] = reference.split('/')
    await this.#ask(node, { command: 'cancel-job', kind, id, by: 'a test' })
  }

  async #ask(node: string, request: ControlRequest): Promise<api.Job> {
    for (let again = 0; ; again++) {
      try {
        const { job } = await ask({ config: `${this.#demo.dir}/${node}.toml` }, request)
        return v.parse(api.jobAnswer, job).job
      } catch (error) {
        // a machine that is busy with other things loses a node now and then
        if (again === 20 || !isMatrixError(error, 'view-changed', 'peer-gone', 'timeout')) throw error
      }
      await sleep(500)
    }
  }

  async list(node: string): Promise<api.Jobs> {
    const response = await fetch(this.#url(node, '/jobs'))
    const body = await response.json()
    assert.is(response.status, 200, JSON.stringify(body))
    return v.parse(api.jobs, body)
  }

  async show(node: string, reference: string): Promise<api.JobWithLog> {
    const response = await fetch(this.#url(node, `/jobs/${reference}`))
    const body = await response.json()
    assert.is(response.status, 200, `${reference}: ${JSON.stringify(body)}`)
    return v.parse(api.jobWithLog, body)
  }

  /** Once it is as `holds` says, by whichever of the nodes answers. */
  async until(
    nodes: readonly string[],
    reference: string,
    holds: (job: api.Job) => boolean,
    limitMs = 90_000,
  ): Promise<api.Job> {
    let last = 'nobody answers'
    for (const deadline = performance.now() + limitMs; performance.now() < deadline; await sleep(200)) {
      for (const node of nodes) {
        const shown = await this.show(node, reference).catch((error: Error) => error)
        if (!(shown instanceof Error) && holds(shown.job)) return shown.job
        last = shown instanceof Error ? shown.message : JSON.stringify(shown.job)
      }
    }
    throw new Error(`${reference} has not become so within ${limitMs} ms: ${last}`)
  }

  ended(nodes: readonly string[], reference: string, limitMs?: number): Promise<api.Job> {
    return this.until(nodes, reference, ({ state }) => ['completed', 'failed', 'cancelled'].includes(state), limitMs)
  }

  #url(node: string, path: string): string {
    return `${new URL(this.#demo.node(node).admin!.url).origin}/_admin/api${path}`
  }
}
