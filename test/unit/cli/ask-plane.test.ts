/** Asking an admin plane over HTTP and HTTPS: what is sent, whom it is sent to, and what is said when it does not work. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import { planeOf } from '../../../src/cli/ask-node.ts'
import { askPlane } from '../../../src/cli/ask-plane.ts'
import { TestCa } from '../../helpers/certificates.ts'

const test = suite<{ dir: string; password: string }>('ask-plane')
const servers: Server[] = []

test.before((context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-plane-'))
  context.password = join(context.dir, 'password')
  writeFileSync(context.password, 'correct horse\n', { mode: 0o600 })
})
test.after(({ dir }) => {
  for (const server of servers) server.close()
  rmSync(dir, { recursive: true })
})

function serve(server: Server): Promise<number> {
  servers.push(server)
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}

/** Answers with `status` and `body`, and keeps what was asked. */
function answering(status: number, body: unknown, asked: IncomingMessage[] = []): RequestListener {
  return (request, response) => {
    asked.push(request)
    request.resume()
    response.writeHead(status, { 'Content-Type': 'application/json' })
    response.end(JSON.stringify(body))
  }
}

async function failure(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => {
      throw new Error('it did not fail')
    },
    (error: Error) => error,
  )
}

test('the login is Basic with a user, Bearer without; none is sent unless there is one', async ({ password }) => {
  const asked: IncomingMessage[] = []
  const url = `http://127.0.0.1:${await serve(createServer(answering(200, { ok: true, mounts: [] }, asked)))}/_admin/`
  assert.equal(await askPlane({ url }, { command: 'mounts' }), { ok: true, mounts: [] })
  await askPlane({ url, user: 'ann', passwordFile: password }, { command: 'mounts' })
  await askPlane({ url, passwordFile: password }, { command: 'mounts' })
  assert.equal(
    asked.map(({ headers }) => headers.authorization),
    [undefined, `Basic ${Buffer.from('ann:correct horse').toString('base64')}`, 'Bearer correct horse'],
  )
  for (const { method, url: path, headers } of asked)
    assert.equal([method, path, headers['content-type']], ['POST', '/_admin/api/ask', 'application/json'])
})

test('HTTPS: a certificate of the CA given is taken, another is not', async ({ dir, password }) => {
  const ca = new TestCa('plane')
  test.after(() => ca.dispose())
  const { certificate, key } = ca.sign('localhost')
  const asked: IncomingMessage[] = []
  const server = createTlsServer({ cert: certificate, key }, answering(200, { ok: true }, asked))
  const url = `https://localhost:${await serve(server)}`
  const file = join(dir, 'ca.pem')
  writeFileSync(file, ca.certificate)
  assert.equal(await askPlane({ url, ca: file, passwordFile: password }, { command: 'mounts' }), { ok: true })
  const refused = await failure(askPlane({ url, passwordFile: password }, { command: 'mounts' }))
  assert.ok(isMatrixError(refused, 'config'), refused.message)
  assert.match(refused.message, /--ca FILE names the certificates to trust/)
  assert.is(asked.length, 1, 'the token went to nobody else')
  const nowhere = await failure(askPlane({ url, ca: join(dir, 'none.pem') }, { command: 'mounts' }))
  assert.match(nowhere.message, /none\.pem: ENOENT/)
})

test('what the node refuses is told in its words; a login that is missing or wrong by what to do', async ({
  password,
}) => {
  const refusal = { error: { code: 'not-found', message: 'no filesystem hme; it has home' } }
  const refusing = `http://127.0.0.1:${await serve(createServer(answering(404, refusal)))}`
  const refused = await failure(askPlane({ url: refusing }, { command: 'mounts' }))
  assert.ok(isMatrixError(refused, 'not-found'))
  assert.match(refused.message, /it has home/)
  const closed = `http://127.0.0.1:${await serve(createServer(answering(401, {})))}`
  assert.match((await failure(askPlane({ url: closed }, { command: 'mounts' }))).message, /wants a login: --user NAME/)
  const wrong = await failure(askPlane({ url: closed, passwordFile: password }, { command: 'mounts' }))
  assert.match(wrong.message, /does not take this login/)
  const other = `http://127.0.0.1:${await serve(createServer((_, response) => response.end('<html>')))}`
  assert.match((await failure(askPlane({ url: other }, { command: 'mounts' }))).message, /no admin plane/)
  const nobody = await failure(askPlane({ url: 'http://127.0.0.1:1' }, { command: 'mounts' }))
  assert.ok(isMatrixError(nobody, 'not-found'), nobody.message)
  const ending = createServer((request) => request.socket.destroy())
  const gone = await failure(askPlane({ url: `http://127.0.0.1:${await serve(ending)}` }, { command: 'mounts' }))
  assert.ok(isMatrixError(gone, 'peer-gone'), gone.message)
})

test('a password goes nowhere in the clear, stands in no URL, and its file is its owner’s alone', async ({
  dir,
  password,
}) => {
  const message = async (options: Parameters<typeof askPlane>[0]) =>
    (await failure(askPlane(options, { command: 'mounts' }))).message
  assert.match(await message({ url: 'http://n1.example:20190', passwordFile: password }), /by https: alone/)
  assert.match(await message({ url: 'http://ann:pass@127.0.0.1:1' }), /no place in the URL/)
  assert.match(await message({ url: '127.0.0.1:20190' }), /allowed is a URL such as https:/)
  assert.match(await message({ url: 'http://127.0.0.1:1', user: 'ann' }), /--user needs --password-file/)
  const open = join(dir, 'open')
  writeFileSync(open, 'secret')
  chmodSync(open, 0o644)
  assert.match(await message({ url: 'http://127.0.0.1:1', passwordFile: open }), /has mode 644; allowed is 600/)
})

test('the environment names a node unless the command line does', () => {
  const env = { MATRIX_NODE: 'https://n1:1', MATRIX_USER: 'ann', MATRIX_PASSWORD_FILE: '/p', MATRIX_CA: '/ca' }
  assert.equal(planeOf({}, env), { url: 'https://n1:1', user: 'ann', passwordFile: '/p', ca: '/ca' })
  assert.is(planeOf({ config: 'n1.toml' }, env), undefined)
  assert.is(planeOf({ node: 'https://n2:1', user: 'bob' }, env)?.url, 'https://n2:1')
  assert.is(planeOf({ node: 'https://n2:1', user: 'bob' }, env)?.user, 'bob')
  assert.is(planeOf({}, {}), undefined)
  assert.throws(() => planeOf({ config: 'n1.toml', node: 'https://n2:1' }, {}), /one of --node and --config/)
})

test.run()
