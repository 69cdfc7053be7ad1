/** Virtual hosts between nodes (R23): what administrator and members say to each other, and what people are told, without anything below. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MatrixError } from '../../../src/base/errors.ts'
import { defaultTimings } from '../../../src/base/timings.ts'
import type { Mesh, View } from '../../../src/cluster/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { type ProbeTools, type VirtualHost, VirtualHosts } from '../../../src/services/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const noDialer = { dial: () => Promise.reject(new Error('there are no monitors')) }
const noTools: ProbeTools = {
  ...{ dialer: noDialer, tls: noDialer, whyNot: () => undefined },
  programs: { run: () => Promise.reject(new Error('there are no programs')) },
}
const test = suite('services: virtual hosts')
const files: VirtualHost = {
  ...{ name: 'files', address: '10.0.0.50', prefix: 24, interface: 'eth0' },
  ...{ nodes: ['n1', 'n2', 'n3'], policy: 'AUTOFAILBACK', monitors: [] },
}
type Handler = (from: number, body: unknown) => unknown

/** Members with these configurations; n1 is administrator. Without any, a node answers nothing on the channel. */
function matrix(configurations: readonly (readonly VirtualHost[] | undefined)[]) {
  const world = new SimWorld(1)
  const members = configurations.map((_, slot) => ({
    ...{ slot, name: `n${slot + 1}`, incarnation: 1, address: { host: 'x', port: 1 } },
  }))
  const view: View = { id: 7, members }
  const handlers = new Map<number, Handler>()
  const asked: string[] = []
  const bears = members.map(() => false)
  const moves: string[] = []
  const nodes = configurations.map((hosts, self) => {
    const { clock } = new SimHost(world, `n${self + 1}`)
    const mesh: Mesh = {
      ...{ self, view, send() {}, onMessage() {} },
      onRequest: (_channel, handler) => void handlers.set(self, handler),
      async request(to, _channel, body) {
        const { kind } = body as { kind: string }
        if (kind !== 'report') asked.push(`${kind} ${to}`)
        const handler = handlers.get(to)
        if (!handler) throw new MatrixError('not-found', 'nobody answers on channel service')
        return handler(self, body)
      },
    }
    return (
      hosts &&
      new VirtualHosts({
        ...{ node: `n${self + 1}`, services: [], publish: () => {} },
        ...{ hosts, mesh, clock, log: silentLog, timings: defaultTimings, gateways: [] },
        tools: noTools,
        addresses: {
          lateMs: 1000,
          add: async () => void (bears[self] = true),
          remove: async () => void (bears[self] = false),
          deafen: async () => {},
          announce: async () => {},
          has: async () => bears[self] as boolean,
        },
        goodUntil: () => clock.now() + 8_000,
        settle: async () => {},
        administrator: () => 0,
        onMoved: (host, outcome) => moves.push(`${host}: ${outcome}`),
      })
    )
  })
  for (const node of nodes) node?.begin()
  nodes[0]?.resumed(view)
  const bearers = () => bears.flatMap((is, slot) => (is ? [`n${slot + 1}`] : []))
  return { world, nodes, view, asked, moves, bearers, handlers }
}

test('the administrator has it taken by its primary; a member without any in its file is no hindrance', async () => {
  const { world, bearers, moves } = matrix([[files], undefined, [files]])
  await world.run(2_000)
  assert.equal(bearers(), ['n1'])
  assert.equal(moves, ['files: n1: nobody had it'])
})

test('whoever is asked passes the wish of a person on to the administrator, and says what became of it', async () => {
  const { world, nodes, bearers, moves } = matrix([[files], [files], undefined])
  await world.run(2_000)
  await world.settle(nodes[1]?.move('files', 'n2') as Promise<void>)
  assert.equal(bearers(), ['n2'])
  assert.is(moves.at(-1), 'files: n1 → n2: by hand')
  const asked = nodes[1] as VirtualHosts
  const refusal = (name: string, node: string) => world.settle(asked.move(name, node).then(() => 'done', String))
  assert.match(await refusal('none', 'n1'), 'there is no virtual host none (files)')
  assert.match(await refusal('files', 'n9'), 'n9 is not among the nodes of files: n1, n2, n3')
  assert.match(await refusal('files', 'n3'), 'n3 has no virtual host at 10.0.0.50 in its configuration')
  nodes[0]?.blocked()
  assert.match(await refusal('files', 'n1'), 'the matrix is recovering')
})

test('who is no administrator gives no orders, and nobody acts on those of another view', async () => {
  const { handlers, bearers } = matrix([[files], [files]])
  const say = (from: number, body: unknown) => {
    try {
      return (handlers.get(1) as Handler)(from, body)
    } catch (error) {
      return (error as MatrixError).code
    }
  }
  const take = { kind: 'take', view: 7, address: files.address, byHand: false }
  assert.is(say(1, take), 'protocol')
  assert.is(say(0, { ...take, view: 6 }), 'view-changed')
  assert.is(say(0, { ...take, address: '10.0.0.99' }), 'not-found')
  assert.is(say(0, { kind: 'take' }), 'protocol')
  assert.is(say(0, { kind: 'move', view: 7, address: files.address, node: 'n2' }), 'view-changed')
  assert.equal(bearers(), [])
})

test('every node tells how all of them are, with the reason', async () => {
  const other = { ...files, name: 'other', address: '10.0.0.51', nodes: ['n2', 'n9'] }
  const { world, nodes } = matrix([[files, other], [files], undefined])
  await world.run(2_000)
  const sights = await world.settle(nodes[0]?.look() as ReturnType<VirtualHosts['look']>)
  assert.equal(sights, [
    {
      ...{ name: 'files', address: '10.0.0.50', prefix: 24, policy: 'AUTOFAILBACK', interface: 'eth0' },
      ...{ node: 'n1', byHand: false },
      nodes: [
        { name: 'n1', state: 'serves it, well' },
        { name: 'n2', state: 'well' },
        { name: 'n3', state: 'has no virtual hosts' },
      ],
    },
    {
      ...{ name: 'other', address: '10.0.0.51', prefix: 24, policy: 'AUTOFAILBACK', interface: 'eth0' },
      ...{ node: undefined, byHand: false },
      nodes: [
        { name: 'n2', state: 'not in its configuration' },
        { name: 'n9', state: 'no member' },
      ],
    },
  ])
})

test('who leaves has given it to another when it is over, and takes nothing more', async () => {
  const { world, nodes, bearers, asked } = matrix([[files], [files]])
  await world.run(2_000)
  await world.settle(nodes[0]?.leave() as Promise<void>)
  assert.equal(bearers(), ['n2'])
  assert.ok(asked.includes('leave 0'))
  await world.run(world.now + 30_000)
  assert.equal(bearers(), ['n2'])
  await world.settle(nodes[1]?.leave() as Promise<void>)
  assert.equal(bearers(), [], 'there is nobody left')
})

test.run()
