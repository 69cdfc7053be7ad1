/**
 * How many small NFS calls a node answers: NULL (the RPC layer alone), GETATTR and LOOKUP of cached objects, and CREATE, over
 * loopback, with C connections of depth D each. The client costs about as much as the server and runs in a process of its own.
 *
 *     node bench/nfs-null-getattr.ts [--connections 8] [--depth 8] [--seconds 3]
 *
 * Prints calls per second and the server's CPU time per call.
 */
import { fork } from 'node:child_process'
import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import { procedures } from '../src/gateway-nfs/v3/tables.ts'
import { makeLocalMatrix } from '../test/helpers/local-matrix.ts'
import { encodeCall, encodeWith, marked, NfsClient, unset } from '../test/helpers/nfs-client.ts'
import { serve } from '../test/helpers/nfs-served.ts'

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '8' },
    depth: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '3' },
    server: { type: 'boolean', default: false },
  },
})
const [connections, depth, seconds] = [Number(values.connections), Number(values.depth), Number(values.seconds)]

/** The child: one node with an NFS server; tells its port, and its CPU time (µs) and calls whenever asked. */
async function runServer(): Promise<void> {
  const matrix = await makeLocalMatrix({ nodes: 1, lunBytes: 512 * 2 ** 20 })
  const { port, server } = await serve(matrix.nodes[0]!.fs)
  process.send?.({ port })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    const calls = Object.values(server.stats().calls).reduce((sum, each) => sum + each, 0)
    process.send?.({ cpu: user + system, calls })
  })
  process.on('disconnect', () => process.exit())
}

type Usage = { readonly cpu: number; readonly calls: number }

async function runClient(): Promise<void> {
  const child = fork(import.meta.filename, ['--server'])
  const message = <T>() => new Promise<T>((resolve) => child.once('message', (value) => resolve(value as T)))
  const { port } = await message<{ port: number }>()
  const usage = (): Promise<Usage> => {
    const answer = message<Usage>()
    child.send('usage')
    return answer
  }
  const client = await NfsClient.connect(port)
  const root = await client.mount('/home')
  const file = await client.create(root, 'file')
  let serial = 0
  const user = { uid: 0, gid: 0, gids: [0, 4, 24] }
  const call = (procedure: number, args: () => Buffer) => () =>
    encodeCall({ xid: ++serial >>> 0, program: 100003, version: 3, procedure, user, args: args() })
  const getattr = encodeWith(procedures.GETATTR.args, { object: file })
  const lookup = encodeWith(procedures.LOOKUP.args, { dir: root, name: 'file' })
  const how = { kind: 0, value: { ...unset, mode: 0o644 } } as const
  const cases: [string, () => Buffer][] = [
    ['NULL', call(0, () => Buffer.alloc(0))],
    ['GETATTR', call(1, () => getattr)],
    ['LOOKUP', call(3, () => lookup)],
    ['CREATE', call(8, () => encodeWith(procedures.CREATE.args, { dir: root, name: `f${serial}`, how }))],
  ]
  for (const [name, make] of cases) {
    await load(port, make, 0.5)
    const before = await usage()
    const started = performance.now()
    await load(port, make, seconds)
    const took = (performance.now() - started) / 1000
    const after = await usage()
    const calls = after.calls - before.calls
    const rate = Math.round(calls / took)
    console.log(
      `${name.padEnd(8)} ${rate} calls/s, ${((after.cpu - before.cpu) / calls).toFixed(1)} µs CPU of the server per call`,
    )
  }
  await client.close()
  child.disconnect()
}

/** Keeps `depth` calls under way on each connection for `forSeconds`; a record of a NULL reply or longer counts as a reply. */
function load(port: number, make: () => Buffer, forSeconds: number): Promise<void> {
  const end = performance.now() + forSeconds * 1000
  const one = () =>
    new Promise<void>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      let missing = depth
      let rest = Buffer.alloc(0)
      const send = (count: number) => socket.write(Buffer.concat(Array.from({ length: count }, () => marked(make()))))
      socket.on('data', (chunk) => {
        let bytes = rest.length ? Buffer.concat([rest, chunk as Buffer]) : (chunk as Buffer)
        let replies = 0
        while (bytes.length >= 4) {
          const length = 4 + (bytes.readUInt32BE(0) & 0x7fffffff)
          if (bytes.length < length) break
          bytes = bytes.subarray(length)
          replies++
        }
        rest = Buffer.from(bytes)
        missing -= replies
        if (performance.now() < end) {
          missing += replies
          if (replies > 0) send(replies)
        } else if (missing === 0) socket.destroy()
      })
      socket.on('close', () => resolve())
      send(depth)
    })
  return Promise.all(Array.from({ length: connections }, one)).then(() => {})
}

if (values.server) await runServer()
else await runClient()
