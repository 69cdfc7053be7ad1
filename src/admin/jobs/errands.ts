/**
 * What has to be done at one node in particular, whoever runs the job: asked of it over the mesh, channel 'job'. An errand that is asked for again has done
 * no harm: it is done already, or is done again with the same outcome.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import * as v from 'valibot'
import { replication } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'
import { parseBody } from '../../cluster/index.ts'
import type { AdminHost } from '../admin-host.ts'
import type { JobMeans } from './job-means.ts'

/** Fencing may wait for the longest lease, and a bundle for nodes that do not answer, ms. */
const LIMIT_MS = 180_000
/** Bundles for support that a node keeps. */
const BUNDLES_KEPT = 5

export const errand = v.variant('errand', [
  v.strictObject({ errand: v.literal('fence-plan'), node: v.string() }),
  v.strictObject({ errand: v.literal('fence'), node: v.string(), incarnation: v.number() }),
  v.strictObject({ errand: v.literal('mounts') }),
  v.strictObject({ errand: v.literal('unmount'), directory: v.string() }),
  v.strictObject({ errand: v.literal('checkpoint'), filesystem: v.string() }),
  v.strictObject({ errand: v.literal('support') }),
  v.strictObject({ errand: v.literal('replicate'), replication: v.string() }),
  v.strictObject({ errand: v.literal('replications') }),
])
export type Errand = v.InferOutput<typeof errand>

const answers = {
  'fence-plan': v.object({ slot: v.number(), incarnation: v.number() }),
  fence: v.object({ agent: v.string(), ms: v.number() }),
  mounts: v.array(v.object({ directory: v.string(), filesystem: v.string() })),
  unmount: v.null(),
  checkpoint: v.object({ sequence: v.number() }),
  support: v.object({ file: v.string() }),
  replicate: v.null(),
  replications: v.array(replication),
}
type Answer<Kind extends Errand['errand']> = v.InferOutput<(typeof answers)[Kind]>

export class Errands {
  readonly #host: AdminHost
  readonly #means: JobMeans

  constructor(host: AdminHost, means: JobMeans) {
    this.#host = host
    this.#means = means
  }

  /** Members of the present view. Throws MatrixError 'view-changed' while there is none. */
  members(): readonly { readonly slot: number; readonly name: string; readonly incarnation: number }[] {
    const { view } = this.#host.mesh
    if (!view) throw new MatrixError('view-changed', 'this node is in no view at the moment')
    return view.members
  }

  /** Done at the node of that name. Rejects with 'not-found' when it is no member, 'view-changed', and as the errand does. */
  async at<E extends Errand>(node: string, what: E): Promise<Answer<E['errand']>> {
    const { mesh, self } = this.#host
    const members = this.members()
    const member = members.find(({ name }) => name === node)
    if (!member) {
      const names = members.map(({ name }) => name).join(', ')
      throw new MatrixError('not-found', `${node} is no member now; members are ${names}`)
    }
    const body =
      member.slot === self.slot
        ? await this.run(what)
        : await mesh.request(member.slot, 'job', { ask: 'errand', ...what }, LIMIT_MS)
    return parseBody<unknown>(answers[what.errand], body, 'answer to an errand') as Answer<E['errand']>
  }

  /** At a member that is not `node`, preferably this one. */
  async elsewhere<E extends Errand>(node: string, what: E): Promise<Answer<E['errand']>> {
    const { self } = this.#host
    const others = this.members().filter(({ name }) => name !== node)
    const other = others.find(({ slot }) => slot === self.slot) ?? others[0]
    if (!other) throw new MatrixError('not-found', `there is no other member beside ${node}`)
    return this.at(other.name, what)
  }

  /** Here. */
  async run(what: Errand): Promise<unknown> {
    const { fence, mounts } = this.#means
    switch (what.errand) {
      case 'fence-plan': {
        const { slot, incarnation } = await fence.plan(what.node)
        return { slot, incarnation }
      }
      case 'fence':
        return fence.run(what.node, what.incarnation)
      case 'mounts':
        return mounts.list.map(({ directory, filesystem }) => ({ directory, filesystem }))
      case 'unmount':
        if (mounts.list.some(({ directory }) => directory === what.directory))
          await mounts.unmount(what.directory, false)
        return null
      case 'checkpoint': {
        const mount = this.#host.mounts().find(({ record }) => record.name === what.filesystem)
        if (!mount)
          throw new MatrixError(
            'not-found',
            `no filesystem ${what.filesystem} is in service at ${this.#host.self.name}`,
          )
        await mount.checkpoint()
        return { sequence: mount.volume.stats().checkpoint }
      }
      case 'support':
        return { file: await this.#support() }
      case 'replicate':
        await this.#host.order({ command: 'replicate', name: what.replication })
        return null
      case 'replications':
        return this.#host.replications()
    }
  }

  async #support(): Promise<string> {
    const folder = join(this.#host.stateDir, 'support')
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const stamp = new Date(this.#host.clock.wall()).toISOString().replace(/[-:.]/g, '')
    const file = join(folder, `matrixfs-support-${this.#host.self.name}-${stamp}.tar.gz`)
    const { code, said } = await this.#means.matrix(['support', '--out', file], {})
    if (code !== 0) throw new MatrixError('lun-io', said)
    for (const old of readdirSync(folder).sort().slice(0, -BUNDLES_KEPT)) rmSync(join(folder, old))
    return file
  }
}
