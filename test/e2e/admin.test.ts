// time limit: 240 s
/** The admin plane of real nodes: every answer is as published, any node answers for all, and it stays so when one dies. */
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as v from 'valibot'
import * as api from '../../src/admin/api/answers.ts'
import { overview } from '../../src/admin/api/overview.ts'
import { endpoints } from '../../src/admin/endpoints.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const demo = new Demo({ nodes: 2, lunSize: '256MiB', basePort: await freeBasePort(2), san: 'own' })
test.before(async () => void (await demo.start()))
test.after(() => demo.dispose())

const origin = (node: string) => new URL(demo.node(node).admin!.url).origin

/** An answer with status 200, which is exactly what its schema says. */
async function ask<T>(node: string, path: string, schema: v.GenericSchema<unknown, T>): Promise<T> {
  const response = await fetch(`${origin(node)}/_admin/api${path}`)
  const body = await response.json()
  assert.is(response.status, 200, `${path}: ${JSON.stringify(body)}`)
  assert.equal(v.parse(schema, body), body, `${path} says more than its schema`)
  return body as T
}

async function sql(node: string, question: unknown): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${origin(node)}/_admin/api/sql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(question),
  })
  return { status: response.status, body: await response.json() }
}

async function put(node: string, name: string, text: string): Promise<void> {
  const response = await fetch(`${demo.node(node).http.url}${name}`, { method: 'PUT', body: text })
  assert.ok(response.ok, `PUT ${name} at ${node}: ${response.status}`)
}

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (let waited = 0; ; waited += 100) {
    const found = await look()
    if (found !== undefined) return found
    assert.ok(waited < 30_000, `never: ${what}`)
    await sleep(100)
  }
}

test('every answer is as its schema says, at every node, and the description has them all', async () => {
  await put('n2', 'hello', 'hello')
  const description = (await (await fetch(`${origin('n1')}/_admin/api/openapi.json`)).json()) as {
    openapi: string
    paths: Record<string, object>
  }
  assert.match(description.openapi, /^3\.1/)
  for (const node of ['n1', 'n2']) {
    for (const { method, path, answer } of endpoints) {
      assert.ok(description.paths[`/_admin/api${path.replace(/:(\w+)/g, '{$1}')}`], path)
      if (method === 'get' && !path.includes(':')) await ask(node, path, answer)
    }
  }
})

test('R40 any node tells of all: nodes, administrator, LUNs with the paths of every node, filesystems', async () => {
  for (const node of ['n1', 'n2']) {
    const matrix = await ask(node, '/matrix', api.matrix)
    assert.is(matrix.answeredBy, node)
    assert.is(matrix.administrator?.node, 'n1')
    assert.equal(
      matrix.nodes.map(({ node: name, state, answered, report }) => [name, state, answered, report?.name]),
      [
        ['n1', 'member', true, 'n1'],
        ['n2', 'member', true, 'n2'],
      ],
    )
    assert.equal(
      matrix.nodes.map(({ report }) => report?.pid),
      [demo.node('n1').pid, demo.node('n2').pid],
    )
    const { luns } = await ask(node, '/luns', api.luns)
    assert.equal(
      luns.map(({ name, state, use, sights }) => [name, state, use[0]?.part, sights.length]),
      [
        ['lun1', 'up', 'first', 2],
        ['lun2', 'up', 'data', 2],
      ],
    )
    for (const { paths } of luns.flatMap(({ sights }) => sights)) {
      assert.is(paths.length, 2, 'the target has two portals')
      assert.ok(
        paths.some(({ state }) => state === 'active'),
        JSON.stringify(paths),
      )
      assert.ok(paths.every(({ state }) => state !== 'failed'))
    }
    // what was written at the other node is in this one's image a moment later
    const home = await until('the file in the filesystem', async () => {
      const { filesystems } = await ask(node, '/filesystems', api.filesystems)
      return filesystems.find(({ files, freeBytes, totalBytes }) => files === 2 && freeBytes < totalBytes)
    })
    assert.is(home.state, 'serving')
    assert.ok(home.freeBytes > 0)
  }
})

test('a lock is shown with path, mode and holder; what has been written is seen', async () => {
  await put('n2', 'fought', 'n2')
  const lock = await until('the lock of /fought', async () => {
    const { locks } = await ask('n1', '/locks', api.locks)
    return locks.find(({ path }) => path === '/fought')
  })
  assert.equal(lock.holders, [{ node: 'n2', mode: 'EX', absent: false }])
  assert.match(lock.name, /^I:\d+$/)
  for (let round = 0; round < 20; round++) await put(round % 2 === 0 ? 'n1' : 'n2', 'fought', `${round}`)
  const hottest = await until('a hot directory', async () => {
    const { locks } = await ask('n2', '/locks', api.locks)
    return locks.find(({ heat }) => heat > 10)
  })
  assert.is(hottest.path, '/', 'both nodes put a name into it, over and over')
})

test('samples go on; those after a moment can be asked for alone', async () => {
  const all = await ask('n1', '/samples', api.samplesAnswer)
  assert.equal(
    all.nodes.map(({ node }) => node),
    ['n1', 'n2'],
  )
  const last = await until('a sample with what was written', async () => {
    const { nodes } = await ask('n1', '/samples', api.samplesAnswer)
    const newest = nodes[1]!.samples.at(-1)!
    return newest.httpRequests >= 2 ? newest : undefined
  })
  const later = await until('a later sample', async () => {
    const { nodes } = await ask('n1', `/samples?since=${last.at}`, api.samplesAnswer)
    return nodes[1]!.samples.length > 0 ? nodes[1]!.samples : undefined
  })
  assert.ok(later.every(({ at }) => at > last.at))
  assert.is((await fetch(`${origin('n1')}/_admin/api/samples?since=x`)).status, 400)
})

test('metrics name what they count', async () => {
  const response = await fetch(`${origin('n2')}/metrics`)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  assert.match(text, /^matrixfs_node_info\{node="n2",version="[^"]+"\} 1$/m)
  assert.match(text, /^matrixfs_view_members 2$/m)
  assert.match(text, /^matrixfs_filesystem_serving\{filesystem="home"\} 1$/m)
  assert.match(text, /^matrixfs_lun_path_up\{lun="lun1",path="[^"]+"\} 1$/m)
  assert.ok(Number(/^matrixfs_gateway_requests_total\{protocol="http",operation="all"\} (\d+)$/m.exec(text)?.[1]) > 5)
  assert.ok(Number(/^matrixfs_lun_operations_total\{lun="lun1",kind="journal"\} (\d+)$/m.exec(text)?.[1]) > 5)
  assert.match(text, /^matrixfs_nodejs_eventloop_lag_p99_seconds /m)
})

test('SQL on the image, over HTTP and by `matrix sql`: rows, and clear refusals', async () => {
  const query = 'select path(ino) p, type from inode order by ino'
  const { status, body } = await sql('n2', { sql: query })
  assert.is(status, 200)
  assert.equal(
    v
      .parse(api.sqlAnswer, body)
      .rows.map(([path]) => path)
      .sort(),
    ['/', '/fought', '/hello'],
  )
  for (const question of [{ sql: 'delete from inode' }, { sql: 'select 1', filesystem: 5 }, { sql: '' }, {}, 7]) {
    const refused = await sql('n1', question)
    assert.is(refused.status, 400, JSON.stringify(question))
    v.assert(api.failure, refused.body)
  }
  assert.is((await sql('n1', { sql: 'select 1', filesystem: 'nothing' })).status, 404)
  const config = ['--config', `${demo.dir}/n1.toml`]
  const table = demo.matrixCommand('sql', `${query} limit 1`, ...config)
  assert.is(table, 'p  type\n/  2\n')
  const json = JSON.parse(demo.matrixCommand('sql', 'select 1 one, null none', '--json', ...config))
  assert.equal(json.rows, [[1, null]])
  assert.throws(
    () => demo.matrixCommand('sql', 'drop table inode', ...config),
    /exit 1[\s\S]*only SELECT, WITH, VALUES and EXPLAIN are answered, not DROP/,
  )
})

test('`matrix support` gathers it all in an archive, without secrets; it says what it could not get', async () => {
  const file = `${demo.dir}/support.tar.gz`
  const config = `${demo.dir}/n1.toml`
  writeFileSync(
    config,
    readFileSync(config, 'utf8').replace(
      'secret_file = "secret"',
      `secret = "${readFileSync(`${demo.dir}/secret`, 'utf8').trim()}"`,
    ),
    { mode: 0o600 },
  )
  chmodSync(config, 0o600)
  const said = demo.matrixCommand('support', '--config', config, '--out', file)
  assert.match(said, /^\S+support\.tar\.gz: 16 files, /)
  const names = execFileSync('tar', ['-tzf', file], { encoding: 'utf8' }).trim().split('\n')
  assert.is(names.length, 16)
  const all = execFileSync('tar', ['-xzOf', file], { encoding: 'utf8', maxBuffer: 2 ** 26 })
  assert.match(all, /secret = "\(left out\)"/)
  assert.not.match(all, new RegExp(readFileSync(`${demo.dir}/secret`, 'utf8').trim()))
  const waits = names.find((name) => name.endsWith('node/waits.json'))!
  v.assert(api.waits, JSON.parse(execFileSync('tar', ['-xzOf', file, waits], { encoding: 'utf8' })))
  assert.throws(() => demo.matrixCommand('support', '--config', config, '--out', file), /is there already/)
})

test('what comes from elsewhere is refused, and says nothing', async () => {
  const host = await new Promise<number>((resolve) => {
    get(`${origin('n1')}/metrics`, { headers: { Host: 'evil.example' } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
  })
  assert.is(host, 421)
  const other = await fetch(`${origin('n1')}/_admin/api/matrix`, { headers: { Origin: 'http://evil.example' } })
  assert.is(other.status, 403)
  assert.is(other.headers.get('access-control-allow-origin'), null)
  for (const path of ['/_admin/ui/..%2f..%2fadmin-server.ts', '/_admin/nothing', '/etc/passwd', '/_admin/lib/'])
    assert.is((await fetch(`${origin('n1')}${path}`)).status, 404, path)
  assert.is((await fetch(`${origin('n1')}/_admin/api/matrix`, { method: 'DELETE' })).status, 405)
  assert.is((await fetch(`${origin('n1')}/_admin/api/sql`)).status, 405)
})

test('who follows the overview is told it again and again, as it is answered', async () => {
  let heard = ''
  const listening = get(`${origin('n1')}/_admin/api/events?follow=overview`, (response) => {
    response.setEncoding('utf8').on('data', (more) => (heard += more))
    response.on('error', () => {})
  })
  listening.on('error', () => {})
  const told = () => [...heard.matchAll(/^event: overview\ndata: (.*)\n\n/gm)]
  const [, first, second] = await until('two of them', async () => (told().length > 2 ? told() : undefined))
  listening.destroy()
  const [earlier, later] = [first, second].map((each) => v.parse(overview, JSON.parse(each?.[1] as string)))
  assert.ok((later?.matrix.at as number) > (earlier?.matrix.at as number))
  for (const { node, samples } of later?.samples.nodes ?? []) {
    assert.ok(samples.length > 0, node)
    const all = (await ask('n1', '/samples', api.samplesAnswer)).nodes.find((each) => each.node === node)?.samples ?? []
    assert.ok(samples.every(({ at }) => all.some((each) => each.at === at)))
  }
})

test('a node dies: listeners hear the steps, it is shown as gone, and its lease with it; it comes back', async () => {
  let heard = ''
  const listening = get(`${origin('n1')}/_admin/api/events`, (response) => {
    response.setEncoding('utf8').on('data', (more) => (heard += more))
    response.on('error', () => {})
  })
  listening.on('error', () => {})
  await until('a stream', async () => (heard.includes('retry') ? true : undefined))
  demo.kill('n2')
  await until('the view without it', async () => (/"step":"resume"/.test(heard) ? true : undefined))
  assert.match(heard, /event: timeline\ndata: \{"view":\d+,"node":"n1","step":"fence n2"/)
  assert.match(heard, /event: state\n/)
  listening.destroy()
  const matrix = await until('n2 out of the view', async () => {
    const { nodes } = await ask('n1', '/matrix', api.matrix)
    return nodes[1]?.state === 'member' ? undefined : nodes
  })
  assert.is(matrix[1]?.state, 'silent')
  assert.is(matrix[1]?.answered, false)
  const { entries } = await ask('n1', '/timeline', api.timeline)
  assert.ok(entries.some(({ step, durationMs }) => step === 'resume' && durationMs >= 0))
  const { waits } = await ask('n1', '/waits', api.waits)
  assert.equal(waits, [], 'once it is fenced and recovered nobody waits for it')
  await demo.startNode('n2')
  await until('n2 a member again', async () => {
    const { nodes } = await ask('n1', '/matrix', api.matrix)
    return nodes[1]?.answered && nodes[1].report?.filesystems[0]?.state === 'serving' ? true : undefined
  })
  const after = await ask('n2', '/waits', api.waits)
  assert.equal(after.waits, [], 'nobody waits any more')
})

test.run()
