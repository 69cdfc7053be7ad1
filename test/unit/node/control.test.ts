/** The control socket: requests and answers as lines, and what nobody else may do. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ControlRequest, controlSocket } from '../../../config/index.ts'
import { MatrixError } from '../../../src/base/errors.ts'
import { ControlServer } from '../../../src/node/control.ts'
import { silentLog } from '../../../src/platform/index.ts'

type Context = { dir: string; server: ControlServer; asked: ControlRequest[] }

const test = suite<Context>('control socket', { dir: '', server: undefined as unknown as ControlServer, asked: [] })

test.before.each(async (c) => {
  c.dir = mkdtempSync(join(tmpdir(), 'matrixfs-control-'))
  c.asked = []
  c.server = new ControlServer(async (request) => {
    c.asked.push(request)
    if (request.command === 'umount') throw new MatrixError('in-use', 'somebody is in there')
    if (request.command === 'mount') return { directory: request.directory }
    throw new TypeError('nobody expected this')
  }, silentLog)
  await c.server.listen(c.dir)
})
test.after.each(async (c) => {
  await c.server.close()
  rmSync(c.dir, { recursive: true })
})

/** Sends `text`; resolves with `count` lines of answer, or with all there are when the connection ends first. */
function ask(dir: string, text: string, count: number): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(controlSocket(dir), () => socket.write(text))
    let answer = ''
    const done = () => {
      socket.destroy()
      resolve(
        answer
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line)),
      )
    }
    socket.on('data', (chunk) => {
      answer += chunk
      if (answer.split('\n').length > count) done()
    })
    socket.on('end', done)
    socket.on('error', reject)
  })
}

test('requests are answered in their order, failures with their code and message', async ({ dir, asked }) => {
  const requests = [
    { command: 'mount', filesystem: 'home', directory: '/m' },
    { command: 'umount', directory: '/m', lazy: false },
    { command: 'mounts' },
  ]
  const text = requests.map((request) => `${JSON.stringify(request)}\n`).join('')
  assert.equal(await ask(dir, text, 3), [
    { ok: true, directory: '/m' },
    { ok: false, code: 'in-use', message: 'somebody is in there' },
    { ok: false, code: 'config', message: 'nobody expected this' },
  ])
  assert.equal(asked, requests)
})

test('bad input: what is no request is refused, and the connection ends', async ({ dir, asked }) => {
  for (const text of ['nonsense\n', '{"command":"format"}\n', '{"command":"mount","directory":"/m"}\n', '[]\n']) {
    const [answer, ...more] = (await ask(dir, text, 9)) as { ok: boolean; code: string }[]
    assert.equal([answer?.ok, answer?.code, more.length], [false, 'protocol', 0], text)
  }
  assert.equal(await ask(dir, 'x'.repeat(200_000), 9), [
    { ok: false, code: 'protocol', message: 'a line is longer than 65536 characters' },
  ])
  assert.equal(asked, [])
})

test('the socket is its owner’s alone, replaces what a dead process left, and goes with the server', async (c) => {
  assert.is(statSync(controlSocket(c.dir)).mode & 0o777, 0o600)
  await c.server.close()
  assert.throws(() => statSync(controlSocket(c.dir)), /ENOENT/)
  writeFileSync(controlSocket(c.dir), 'left')
  await c.server.listen(c.dir)
  assert.ok(statSync(controlSocket(c.dir)).isSocket())
})

test('a state_dir whose path is too long for a socket has none, and the node goes on', async (c) => {
  const server = new ControlServer(async () => ({}), silentLog)
  await server.listen(join(c.dir, 'x'.repeat(120)))
  await server.close()
})

test.run()
