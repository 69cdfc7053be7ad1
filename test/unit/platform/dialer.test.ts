/** Byte streams over TCP: how they end. */
import { spawn } from 'node:child_process'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { realDialer } from '../../../src/platform/real/dialer.ts'

type Heard = {
  readonly port: number
  readonly ended: Promise<string>
  readonly socket: () => Socket | undefined
  close(): void
}

/** A server that does not read; how its one connection has ended: by 'end', or an error. */
async function deafServer(): Promise<Heard> {
  let socket: Socket | undefined
  let told: (how: string) => void = () => {}
  const ended = new Promise<string>((resolve) => {
    told = resolve
  })
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    socket = accepted
    accepted.on('end', () => told('end'))
    accepted.on('error', (error: NodeJS.ErrnoException) => told(error.code ?? error.message))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    port,
    ended,
    socket: () => socket,
    close: () => {
      socket?.destroy()
      server.close()
    },
  }
}

const WRITER = new URL('./dialer-child.ts', import.meta.url).pathname

test('what has left is said to have left; what waits for the other side is not', async () => {
  const server = await deafServer()
  const stream = await realDialer.dial({ host: '127.0.0.1', port: server.port }, 5000)
  await new Promise<void>((resolve) => stream.write([Buffer.alloc(10), Buffer.alloc(10)], resolve))
  let isSent = false
  stream.write([Buffer.alloc(64 * 2 ** 20)], () => {
    isSent = true
  })
  await sleep(100)
  assert.not(isSent)
  const closed = new Promise<string>((resolve) => {
    stream.onClose = resolve
  })
  stream.reset()
  assert.is(await closed, 'closed here')
  server.socket()?.resume()
  assert.is(await server.ended, 'ECONNRESET')
  await sleep(10)
  assert.not(isSent)
  server.close()
})

for (const how of ['exit', 'throw']) {
  test(`a process that ends (${how}) with something under way resets its streams`, async () => {
    const server = await deafServer()
    const child = spawn(process.execPath, [WRITER, String(server.port), how], { stdio: 'ignore' })
    await new Promise((resolve) => child.once('exit', resolve))
    server.socket()?.resume()
    assert.is(await server.ended, 'ECONNRESET')
    server.close()
  })
}

test.run()
