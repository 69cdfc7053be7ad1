import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '../../src/base/units.ts'
import { callsTo } from './calls.ts'
import { DavWork } from './dav.ts'
import { Litter } from './litter.ts'
import { SimMatrix, type SimNode } from './matrix.ts'
import { Oracle } from './oracle.ts'
import { Client, prepare } from './workload.ts'
import { SimHost, SimWorld } from './world.ts'

const test = suite('sim: nodes that no configuration names')

/** What a client may be answered while nothing is wrong: it is told the state of names that others change, too. */
const ANSWERS = new Set([
  'ELOCKED',
  'ENOENT',
  'EEXIST',
  'ENOTEMPTY',
  'ESTALE',
  'ENOTDIR',
  'EISDIR',
  'EINVAL',
  'ELOOP',
  'EXDEV',
  'EPERM',
])

class Scene {
  readonly world: SimWorld
  readonly matrix: SimMatrix
  readonly outside: SimHost
  readonly errors: string[] = []
  readonly #oracle = new Oracle()
  readonly #litter: Litter
  readonly #dav = new DavWork(this.#oracle)
  readonly #clients: Client[] = []

  constructor(seed: number, nodes: number, listed: number) {
    this.world = new SimWorld(seed)
    this.matrix = new SimMatrix(this.world, { nodes, listed, fencing: ['kill', 'lease'], journalBytes: 256 * KiB })
    this.outside = new SimHost(this.world, 'outside')
    this.#litter = new Litter(this.world)
  }

  async prepare(clients: number): Promise<void> {
    const { fs } = this.matrix.nodes[0]!.mount!
    await this.world.settle(prepare(() => fs, clients))
  }

  /** A client at `node`; the function that is returned ends it, and resolves when its last verb is answered. */
  work(node: SimNode): () => Promise<Client> {
    const id = this.#clients.length
    const client = new Client(id, this.#oracle, this.#litter, this.#dav, this.world.prng.fork(), 8, (line) => {
      const error = /^client \d+: (.*)$/.exec(line)?.[1]
      if (error !== undefined && !ANSWERS.has(error)) this.errors.push(`${node.name}: ${error}`)
    })
    this.#clients.push(client)
    const host = node.host as SimHost
    let isOver = false
    let isStopped = false
    const { fs } = node.mount!
    const work = client.work(callsTo(fs, host), this.matrix.writes.life(host), this.outside.clock, () => isStopped)
    work.then(
      () => (isOver = true),
      (error) => this.world.fail(error as Error),
    )
    return async () => {
      assert.not(isOver, `the client at ${node.name} gave up: ${this.errors.join(', ')}`)
      isStopped = true
      await this.world.settle(work)
      return client
    }
  }

  view(node: SimNode): number[] {
    return node.core?.cluster.mesh.view?.members.map((member) => member.slot) ?? []
  }

  async judge(): Promise<void> {
    for (const { mount } of this.matrix.nodes) {
      if (mount) for (const client of this.#clients) await this.world.settle(client.verifyOwn(mount.fs))
    }
    assert.equal(await this.world.settle(this.matrix.compareImages()), [])
    this.#litter.judge()
  }
}

test('R111: a fourth node joins three that never heard of it, and leaves, under load: no client meets an error', async () => {
  for (let seed = 1; seed <= 2; seed++) {
    const scene = new Scene(seed, 4, 3)
    const { matrix, world } = scene
    const [n1, n2, n3, n4] = matrix.nodes as [SimNode, SimNode, SimNode, SimNode]
    await world.settle(matrix.format())
    await world.settle(Promise.all([n1, n2, n3].map((node) => matrix.boot(node))))
    await scene.prepare(5)
    const clients = [n1, n2, n3, n1].map((node) => scene.work(node))
    await world.run(world.now + 1_000)

    const start = world.now
    await world.settle(matrix.boot(n4))
    for (const node of matrix.nodes) assert.equal(scene.view(node), [0, 1, 2, 3])
    // its claim settles for one I/O time-out; then it is taken in
    assert.ok(world.now - start < 8 * matrix.timings.ioTimeoutMs, `serves after ${world.now - start} ms`)
    const newcomer = scene.work(n4)
    await world.run(world.now + 2_000)
    assert.ok((await newcomer()).operations > 20)

    await world.settle(matrix.stop(n4))
    await world.run(world.now + 3 * matrix.timings.renewMs)
    for (const node of [n1, n2, n3]) {
      assert.equal(scene.view(node), [0, 1, 2])
      assert.not(
        node.core!.cluster.status().peers.some((peer) => peer.slot === 3),
        'nobody looks for it any more',
      )
    }
    for (const stop of clients) assert.ok((await stop()).operations > 100)
    assert.equal(scene.errors, [])
    await scene.judge()

    await world.settle(matrix.boot(n4))
    assert.equal(scene.view(n1), [0, 1, 2, 3])
    for (const { host } of matrix.nodes) host?.crash()
  }
})

test('nodes without a list find each other through the partitions alone, all at once and one by one', async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const { matrix, world, ...scene } = new Scene(seed, 3, 0)
    await world.settle(matrix.format())
    if (seed % 2) await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
    else for (const node of matrix.nodes) await world.settle(matrix.boot(node))
    await world.run(world.now + 1_000)
    for (const { core, mount } of matrix.nodes) {
      assert.is(core!.cluster.mesh.view!.members.length, 3)
      assert.is(core!.cluster.self.incarnation, 1, 'nobody had to start again')
      assert.is(mount!.state, 'serving')
    }
    // all of them die and come back: nobody names them but their sectors
    for (const node of matrix.nodes) matrix.crash(node)
    await world.settle(Promise.all(matrix.nodes.map((node) => matrix.boot(node))))
    assert.is(matrix.nodes[2]!.core!.cluster.mesh.view!.members.length, 3)
    assert.equal(scene.errors, [])
    for (const { host } of matrix.nodes) host?.crash()
  }
})

test.run()
