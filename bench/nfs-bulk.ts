/**
 * How much content a node moves over NFS when its cache holds it: READ and unstable WRITE of 1 MiB, over loopback, 2 connections of
 * depth 4. Prints bytes per second and the server's CPU time per call.
 *
 *     node bench/nfs-bulk.ts [--seconds 3]
 */
import { fork } from 'node:child_process'
import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import { MiB } from '../src/base/units.ts'
import { procedures } from '../src/gateway-nfs/v3/tables.ts'
import { makeLocalMatrix } from '../test/helpers/local-matrix.ts'
import { encodeCall, encodeWith, marked, NfsClient } from '../test/helpers/nfs-client.ts'
import { serve } from '../test/helpers/nfs-served.ts'

const CONNECTIONS = 2
const DEPTH = 4
const FILE_MIB = 32

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, server: { type: 'boolean', default: false } },
})

async function runServer(): Promise<void> {
  const matrix = await makeLocalMatrix({ nodes: 1, lunBytes: 512 * MiB })
  const { port } = await serve(matrix.nodes[0]!.fs)
  process.send?.({ port })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpu: user + system })
  })
  process.on('disconnect', () => process.exit())
}

async function runClient(): Promise<void> {
  const child = fork(import.meta.filename, ['--server'])
  const message = <T>() => new Promise<T>((resolve) => child.once('message', (value) => resolve(value as T)))
  const { port } = await message<{ port: number }>()
  const cpu = async (): Promise<number> => {
    const answer = message<{ cpu: number }>()
    child.send('usage')
    return (await answer).cpu
  }
  const client = await NfsClient.connect(port)
  const root = await client.mount('/home')
  const file = await client.create(root, 'file')
  for (let i = 0; i < FILE_MIB; i++) await client.write(file, i * MiB, Buffer.alloc(MiB, i), 0)
  await client.ok('COMMIT', { object: file, offset: 0, count: 0 })

  const call = (procedure: number, args: (at: number) => Buffer) =>
    Array.from({ length: FILE_MIB }, (_, i) =>
      marked(encodeCall({ xid: i, program: 100003, version: 3, procedure, user: client.user, args: args(i * MiB) })),
    )
  const data = Buffer.alloc(MiB, 'w')
  const cases: [string, Buffer[]][] = [
    ['READ', call(6, (offset) => encodeWith(procedures.READ.args, { object: file, offset, count: MiB }))],
    [
      'WRITE',
      call(7, (offset) => encodeWith(procedures.WRITE.args, { object: file, offset, count: MiB, stable: 0, data })),
    ],
  ]
  for (const [name, records] of cases) {
    await load(port, records, 0.5)
    const before = await cpu()
    const started = performance.now()
    const calls = await load(port, records, Number(values.seconds))
    const took = (performance.now() - started) / 1000
    const perCall = Math.round(((await cpu()) - before) / calls)
    console.log(
      `${name.padEnd(6)} ${((calls * MiB) / took / 1e9).toFixed(2)} GB/s, ${perCall} µs CPU of the server per MiB`,
    )
  }
  await client.close()
  child.disconnect()
}

/** Keeps DEPTH of `records` under way on each connection; resolves with how many were answered. */
async function load(port: number, records: readonly Buffer[], forSeconds: number): Promise<number> {
  const end = performance.now() + forSeconds * 1000
  let answered = 0
  const one = () =>
    new Promise<void>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true })
      let [next, missing, body] = [0, 0, 0]
      let head = Buffer.alloc(0)
      const send = () => {
        socket.write(records[next++ % records.length]!)
        missing++
      }
      socket.on('data', (chunk) => {
        // only lengths are looked at: the client should cost as little as it can
        let at = 0
        const bytes = chunk as Buffer
        while (at < bytes.length) {
          if (body === 0) {
            const part = bytes.subarray(at, at + 4 - head.length)
            head = Buffer.concat([head, part])
            at += part.length
            if (head.length < 4) break
            body = head.readUInt32BE(0) & 0x7fffffff
            head = Buffer.alloc(0)
          }
          const part = Math.min(body, bytes.length - at)
          at += part
          body -= part
          if (body > 0) continue
          answered++
          missing--
          if (performance.now() < end) send()
          else if (missing === 0) socket.destroy()
        }
      })
      socket.on('close', () => resolve())
      for (let i = 0; i < DEPTH; i++) send()
    })
  await Promise.all(Array.from({ length: CONNECTIONS }, one))
  return answered
}

if (values.server) await runServer()
else await runClient()
