/** The notifier with real targets: a script, an HTTP server, a mail server. Each event arrives once, whatever comes in between. */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { silentLog } from '../../../src/platform/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { realHost } from '../../../src/platform/real/host.ts'
import { realMailer } from '../../../src/platform/real/mailer.ts'
import { realPrograms } from '../../../src/platform/real/programs.ts'
import { realWebhooks } from '../../../src/platform/real/webhooks.ts'
import {
  Courier,
  DeliveryJournal,
  EventBook,
  type EventNews,
  type MatrixEvent,
  matches,
  Notifier,
  type NotifyRule,
  type NotifyTarget,
  waitBefore,
} from '../../../src/services/index.ts'
import { SmtpSink } from '../../helpers/smtp-sink.ts'

type Hook = {
  readonly id: string
  readonly headers: IncomingHttpHeaders
  readonly body: { readonly event: MatrixEvent }
}
const test = suite<{ dir: string; server: Server; url: string; hooks: Hook[]; answers: number[] }>('notifier')

test.before.each(async (context) => {
  context.dir = mkdtempSync(join(tmpdir(), 'matrixfs-notify-'))
  const hooks: Hook[] = []
  const answers: number[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk) => void (text += chunk))
    request.on('end', () => {
      const status = answers.shift() ?? 204
      if (status < 300)
        hooks.push({
          id: String(request.headers['x-matrix-event-id']),
          headers: request.headers,
          body: JSON.parse(text),
        })
      response.writeHead(status)
      response.end(status < 300 ? undefined : 'not now')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  Object.assign(context, {
    server,
    hooks,
    answers,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
  })
})
test.after.each(({ dir, server }) => {
  server.closeAllConnections()
  server.close()
  rmSync(dir, { recursive: true, force: true })
})

const down = (name: string): EventNews => ({
  ...{ kind: 'node-down', object: { type: 'node', name }, severity: 'error', text: `node ${name} has died` },
  detail: { reason: 'fenced' },
})

function ruleOf(target: NotifyTarget, more: Partial<NotifyRule> = {}): NotifyRule {
  return {
    ...{ name: 'pager', events: ['*'], objects: ['*'], severity: 'info', target },
    ...{ timeoutMs: 10_000, retries: 5, retryAfterMs: 20, ...more },
  }
}

/** A life of a node: its book goes on from the one before. */
function live(dir: string, rules: readonly NotifyRule[], incarnation = 1) {
  const file = join(dir, 'events.json')
  const kept: MatrixEvent[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []
  const store = {
    read: () => kept,
    add: (event: MatrixEvent) => {
      kept.push(event)
      writeFileSync(file, JSON.stringify(kept))
    },
  }
  const common = { node: 'n1', clock: realClock, log: silentLog }
  const events = new EventBook({ ...common, incarnation, store })
  const journal = new DeliveryJournal(join(dir, 'deliveries.jsonl'), silentLog)
  const courier = new Courier({
    ...{ matrix: 'demo', programs: realPrograms, webhooks: realWebhooks, mailer: realMailer },
    secret: (path) => realHost.secret(path),
  })
  const notifier = new Notifier({ ...common, rules, events, journal, courier })
  notifier.start()
  return { events, journal, notifier }
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    assert.ok(waited < 20_000, `never: ${what}`)
    await sleep(10)
  }
}

test('a webhook has every event that fits, once, in order, with an id; a token comes from its file', async ({
  dir,
  url,
  hooks,
}) => {
  const tokenFile = join(dir, 'token')
  writeFileSync(tokenFile, 'secret token\n', { mode: 0o600 })
  const rule = ruleOf({ kind: 'webhook', url, tokenFile }, { events: ['node-*'], severity: 'warning' })
  const { events, notifier } = live(dir, [rule])
  const told = ['n2', 'n3', 'n4'].map((name) => events.publish(down(name)).id)
  events.publish({ ...down('n5'), severity: 'info' })
  events.publish({ ...down('x'), kind: 'service-down', object: { type: 'service', name: 'x' } })
  await until('three posts', () => hooks.length === 3)
  assert.equal(
    hooks.map(({ id }) => id),
    told,
  )
  assert.equal(hooks[0]?.body.event.object, { type: 'node', name: 'n2' })
  assert.is(hooks[0]?.headers['authorization'], 'Bearer secret token')
  assert.is(hooks[0]?.headers['idempotency-key'], `"${told[0]}/pager"`)
  await until('all crossed out', () => notifier.list().rules[0]?.waiting === 0)
  assert.is(notifier.list().rules[0]?.taken, 3)
  await notifier.stop()
  assert.is(hooks.length, 3)
})

test('what fails is tried again; what is refused, or fails too often, is dead until it is asked for again', async ({
  dir,
  url,
  hooks,
  answers,
}) => {
  const { events, notifier } = live(dir, [ruleOf({ kind: 'webhook', url }, { retries: 2 })])
  answers.push(503, 429, 204)
  const first = events.publish(down('n2')).id
  await until('it arrived in the end', () => hooks.length === 1)
  answers.push(410)
  const refused = events.publish(down('n3')).id
  answers.push(500, 500, 500)
  const failed = events.publish(down('n4')).id
  await until('two dead', () => notifier.dead.length === 2)
  assert.equal(
    notifier.dead.map(({ event, reason, attempts }) => [event.id, reason, attempts]),
    [
      [refused, 'answered with 410: not now', 1],
      [failed, 'answered with 500: not now', 3],
    ],
  )
  assert.is(notifier.list().rules[0]?.trouble, 'answered with 500: not now')
  assert.throws(() => notifier.retry({ rule: 'mail' }), /no \[\[notify\]\] has the name mail; this node has pager/)
  assert.is(notifier.retry({ event: failed }), 1)
  await until('it arrived', () => hooks.length === 2)
  assert.is(notifier.retry({}), 1)
  await until('the other, too', () => hooks.length === 3)
  assert.equal(
    hooks.map(({ id }) => id),
    [first, failed, refused],
  )
  await until('nobody is dead', () => notifier.dead.length === 0)
  await notifier.stop()
})

test('a script gets the event in its environment; one that fails is run again with the same id', async ({ dir }) => {
  const path = join(dir, 'notify')
  const out = join(dir, 'out')
  writeFileSync(
    path,
    `#!/bin/sh
echo "$MATRIX_EVENT_ID $MATRIX_EVENT_KIND $MATRIX_EVENT_OBJECT_TYPE $MATRIX_EVENT_OBJECT $MATRIX_RULE $MATRIX_NAME $MATRIX_EVENT_DETAIL" >> ${out}
test -e ${out}.again || { touch ${out}.again; echo no luck >&2; exit 7; }
`,
  )
  chmodSync(path, 0o755)
  const { events, notifier } = live(dir, [ruleOf({ kind: 'script', path })])
  const { id } = events.publish(down('n2'))
  await until('it was taken', () => notifier.list().rules[0]?.taken === 1)
  const line = `${id} node-down node n2 pager demo {"reason":"fenced"}`
  assert.equal(readFileSync(out, 'utf8').trim().split('\n'), [line, line])
  assert.equal(await notifier.test('pager'), { how: 'taken' })
  assert.match(readFileSync(out, 'utf8'), /^n1-test-\d+-1 test node n1 pager/m)
  await notifier.stop()
})

test('a mail arrives once, by a login, with a Message-ID that stays; 4xx is tried again, 5xx is not', async ({
  dir,
}) => {
  const sink = await new SmtpSink().listen()
  const passwordFile = join(dir, 'password')
  writeFileSync(passwordFile, 'hush\n', { mode: 0o600 })
  const server = { host: '127.0.0.1', port: sink.port, security: 'none' as const, from: 'matrix@example.org' }
  const target = {
    kind: 'mail' as const,
    to: ['ops@example.org'],
    server: { ...server, login: { user: 'matrix', passwordFile } },
  }
  const { events, notifier } = live(dir, [ruleOf(target)])
  try {
    sink.answers.push('451 later')
    const { id } = events.publish(down('n2'))
    await until('the mail', () => sink.mails.length === 1)
    const [mail] = sink.mails
    assert.equal([mail?.from, mail?.to, mail?.login], ['matrix@example.org', ['ops@example.org'], 'matrix hush'])
    assert.match(mail?.text ?? '', new RegExp(`^Message-ID: <${id}\\.pager@demo\\.matrixfs>$`, 'm'))
    assert.match(mail?.text ?? '', /^Subject: \[demo\] error: node n2 has died$/m)
    assert.match(mail?.text ?? '', /^reason: fenced$/m)
    sink.answers.push('550 no such user')
    events.publish(down('n3'))
    await until('it is dead', () => notifier.dead.length === 1)
    assert.match(notifier.dead[0]?.reason ?? '', /550 no such user/)
    assert.is(notifier.dead[0]?.attempts, 1)
    chmodSync(passwordFile, 0o644)
    assert.match(JSON.stringify(await notifier.test('pager')), /has mode 644; allowed is 600/)
  } finally {
    await notifier.stop()
    sink.close()
  }
})

test('the next life goes on: what waited is delivered, what was delivered is not, what was published meanwhile is', async ({
  dir,
  url,
  hooks,
  answers,
}) => {
  const rule = ruleOf({ kind: 'webhook', url }, { retryAfterMs: 60_000 })
  const first = live(dir, [rule])
  const done = first.events.publish(down('n2')).id
  await until('one', () => hooks.length === 1 && first.notifier.list().rules[0]?.waiting === 0)
  answers.push(503)
  const waiting = first.events.publish(down('n3')).id
  const behind = first.events.publish(down('n4')).id
  await until('it was tried', () => first.notifier.list().rules[0]?.trouble !== undefined)
  await first.notifier.stop()
  // published while no notifier listened
  const unheard = first.events.publish(down('n5')).id
  // a crash has cut a line
  appendFileSync(join(dir, 'deliveries.jsonl'), '{"op":"done","id":"n1')
  const second = live(dir, [rule], 2)
  await until('all', () => hooks.length === 4)
  assert.equal(
    hooks.map(({ id }) => id),
    [done, waiting, behind, unheard],
  )
  await until('crossed out', () => second.notifier.list().rules[0]?.waiting === 0)
  await second.notifier.stop()
  // taken, and the process ended before it was crossed out: again, with the same id
  const file = join(dir, 'deliveries.jsonl')
  const { event } = (hooks[3] as Hook).body
  appendFileSync(file, `${JSON.stringify({ op: 'queue', event, rules: ['pager', 'gone'] })}\n`)
  const third = live(dir, [rule], 3)
  await until('again', () => hooks.length === 5)
  assert.is(hooks[4]?.id, unheard)
  assert.equal(
    third.notifier.dead.map(({ rule: name, reason }) => [name, reason]),
    [['gone', 'no rule has this name any more']],
  )
  await third.notifier.stop()
})

test('the first life of a node that has rules does not tell what was before', async ({ dir, url, hooks }) => {
  const before = live(dir, [])
  await before.notifier.stop()
  rmSync(join(dir, 'deliveries.jsonl'))
  before.events.publish(down('n2'))
  const { events, notifier } = live(dir, [ruleOf({ kind: 'webhook', url })], 2)
  const { id } = events.publish(down('n3'))
  await until('one', () => hooks.length === 1)
  assert.is(hooks[0]?.id, id)
  await notifier.stop()
})

test('memory and file stay bounded: what is too much is dead or forgotten, oldest first', () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-notify-'))
  const file = join(dir, 'deliveries.jsonl')
  try {
    const journal = new DeliveryJournal(file, silentLog)
    const event = (i: number): MatrixEvent => ({
      id: `n1-1-${i}`,
      at: i,
      node: 'n1',
      ...down('n2'),
      detail: { reason: 'x'.repeat(400) },
    })
    for (let i = 1; i <= 2500; i++) journal.queue(event(i), ['pager'], i)
    assert.is(journal.waiting('pager').length, 1000)
    assert.is(journal.waiting('pager')[0]?.event.id, 'n1-1-1501')
    assert.is(journal.dead.length, 1000)
    assert.is(journal.dead[0]?.event.id, 'n1-1-501')
    for (const delivery of [...journal.waiting('pager')]) journal.done(delivery)
    journal.close()
    const again = new DeliveryJournal(file, silentLog)
    assert.equal([again.waiting('pager').length, again.dead.length, again.seen], [0, 1000, 'n1-1-2500'])
    again.close()
    assert.ok(statSync(file).size < 4 * 1024 * 1024, `${statSync(file).size}`)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('patterns, severities and pauses', () => {
  const event = { id: 'a', at: 0, node: 'n1', detail: {}, ...down('n2') } as MatrixEvent
  const fits = (more: Partial<NotifyRule>) => matches(ruleOf({ kind: 'script', path: '/x' }, more), event)
  assert.ok(fits({}))
  assert.ok(fits({ events: ['service-*', 'node-*'], objects: ['node:n2'], severity: 'error' }))
  assert.not.ok(fits({ events: ['node'] }))
  assert.not.ok(fits({ events: ['node.down'] }))
  assert.not.ok(fits({ objects: ['node:n'] }))
  assert.not.ok(fits({ objects: ['service:*'] }))
  const rule = ruleOf({ kind: 'script', path: '/x' }, { retryAfterMs: 1000 })
  assert.equal(
    [1, 2, 3, 20].map((attempt) => waitBefore(rule, attempt)),
    [1000, 2000, 4000, 300_000],
  )
})

test.run()
