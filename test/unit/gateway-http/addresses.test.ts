/** The HTTP gateway at addresses that come and go (R23). */
import { connect } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { MemoryFs } from '../../helpers/memory-fs.ts'

const VIRTUAL = '127.0.0.77'
const turn = () => new Promise((resolve) => setTimeout(resolve, 30))

/** The n-th answer on a connection, and whatever follows it. */
async function answer(heard: { readonly text: string }, status: number, n = 1): Promise<string> {
  for (let patience = 200; patience > 0; patience--) {
    const after = heard.text.split(`HTTP/1.1 ${status}`)[n]
    if (after?.includes('\r\n\r\n')) return after
    await turn()
  }
  throw new Error(`no answer ${n} with ${status}: ${heard.text}`)
}

/** What a connection is told, and how it ends. */
function talk(port: number, host: string, text: string) {
  const socket = connect({ port, host, noDelay: true })
  const heard = { text: '', ending: '' }
  socket.setEncoding('latin1').on('data', (more: string) => (heard.text += more))
  socket.on('error', (error: NodeJS.ErrnoException) => (heard.ending = error.code ?? ''))
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()))
  socket.on('connect', () => socket.write(text))
  return { socket, heard, closed }
}

const head = (method: string, path: string, length = 0) =>
  `${method} ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`

for (const host of ['127.0.0.1', '0.0.0.0']) {
  const test = suite(`gateway-http at virtual addresses, listening on ${host}`)

  test('it is served there from open to close; what is under way when it drains is answered first', async () => {
    const { fs } = new MemoryFs()
    const caller = { uid: 0, gid: 0, gids: [] }
    const gateway = new HttpGateway({ clock: realClock, exports: () => [{ name: 'home', fs, caller }] })
    const { port } = await gateway.listen(host, 0)
    await gateway.open(VIRTUAL)
    const idle = talk(port, VIRTUAL, head('OPTIONS', '/home/'))
    const other = talk(port, '127.0.0.1', head('OPTIONS', '/home/'))
    const late = talk(port, VIRTUAL, head('OPTIONS', '/home/'))
    const busy = talk(port, VIRTUAL, `${head('PUT', '/home/a', 4)}ab`)
    for (const { heard } of [idle, other, late]) await answer(heard, 200)
    let drained = false
    const draining = gateway.drain(VIRTUAL).then(() => (drained = true))
    await turn()
    assert.not(drained)
    late.socket.write(head('OPTIONS', '/home/'))
    assert.match(await answer(late.heard, 200, 2), /connection: close/i)
    busy.socket.write('cd')
    await draining
    await answer(busy.heard, 201)
    gateway.closeAt(VIRTUAL)
    await idle.closed
    assert.is(idle.heard.ending, 'ECONNRESET')
    const after = talk(port, VIRTUAL, head('OPTIONS', '/home/'))
    await after.closed
    assert.is(after.heard.text, '')
    other.socket.write(head('OPTIONS', '/home/'))
    await answer(other.heard, 200, 2)
    await gateway.open(VIRTUAL)
    const again = talk(port, VIRTUAL, head('GET', '/home/a'))
    assert.match(await answer(again.heard, 200), 'abcd')
    for (const { socket } of [again, other]) socket.destroy()
    await gateway.close()
  })

  test.run()
}
