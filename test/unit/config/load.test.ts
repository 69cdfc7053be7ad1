import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type ConfigFiles, loadConfig } from '../../../config/index.ts'
import { isMatrixError } from '../../../src/base/errors.ts'
import { MiB } from '../../../src/base/units.ts'

const sample = readFileSync(new URL('../../../config/matrixd.sample.toml', import.meta.url), 'utf8')
const secret = '0123456789abcdef'

/** A host whose files are `/etc/matrix/m.toml` with `toml`, and the secret beside it. */
function host(toml: string, { secretText = `${secret}\n`, mode = 0o600, scriptMode = 0o755 } = {}): ConfigFiles {
  const files: Record<string, string> = { '/etc/matrix/m.toml': toml, '/etc/matrix/secret': secretText }
  return {
    read(path) {
      if (path in files) return files[path] as string
      throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
    },
    mode(path) {
      if (path === '/etc/matrix/run') return scriptMode
      if (path in files) return mode
      throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
    },
  }
}

/** The problems of the sample after `edits` (pairs of what stands there and what replaces it). */
function problemsOf(edits: readonly (readonly [string, string])[], options?: Parameters<typeof host>[1]): string[] {
  let toml = sample
  for (const [from, to] of edits) {
    assert.ok(toml.includes(from), `the sample has ${from}`)
    toml = toml.replace(from, to)
  }
  try {
    loadConfig('/etc/matrix/m.toml', host(toml, options))
    return []
  } catch (error) {
    assert.ok(isMatrixError(error, 'config'), String(error))
    const [head, ...lines] = error.message.split('\n')
    if (lines.length === 0) return [head as string]
    assert.is(head, `/etc/matrix/m.toml: ${lines.length === 1 ? '1 problem' : `${lines.length} problems`}`)
    return lines.map((line) => line.slice(2))
  }
}

test('the sample means what its comments say', () => {
  const config = loadConfig('/etc/matrix/m.toml', host(sample))
  assert.equal(config.matrix, { name: 'demo', secret })
  assert.equal(config.node, { name: 'n1', slot: 0, mesh: { host: '127.0.0.1', port: 20101 }, otherMeshes: [] })
  assert.is(config.stateDir, '/etc/matrix/n1')
  assert.equal(config.luns, [{ url: 'file:/etc/matrix/lun1.img' }, { url: 'file:/etc/matrix/lun2.img' }])
  assert.is(config.timings.leaseMs, 8000)
  assert.is(config.cache.dataBytes, 256 * MiB)
  assert.equal(config.http, {
    listen: { host: '127.0.0.1', port: 20180 },
    uid: 65534,
    gid: 65534,
    insecureLogins: false,
    corsOrigins: [],
  })
  assert.equal(config.exports, [
    {
      path: '/home',
      filesystem: 'home',
      clients: ['127.0.0.0/8', '::1'],
      access: 'rw',
      squash: 'root',
      anonymous: 'rw',
      cacheControl: 'no-cache',
      privilegedPorts: false,
      tls: 'optional',
      anonUid: 65534,
      anonGid: 65534,
    },
  ])
})

test('what may be left out has its default', () => {
  const least = `
    matrix = { name = "m", secret = "${secret}" }
    node = { name = "a", state_dir = "/var/lib/m" }
    nodes = [{ name = "a", slot = 3, mesh = "[::1]:7001" }]
    luns = [{ url = "file:/dev/shm/l" }]`
  const config = loadConfig('/etc/matrix/m.toml', host(least))
  assert.equal(config.fencing.agents, ['kill', 'lease'])
  assert.is(config.timings.ioTimeoutMs, 2000)
  assert.is(config.nfs, undefined)
  assert.is(config.http, undefined)
  assert.equal(config.exports, [])
  assert.equal(config.mounts, [])
  assert.is(config.log.level, 'info')
  assert.equal(config.node.mesh, { host: '::1', port: 7001 })
})

test('LUNs of an iSCSI target: secrets are found beside the file, and what is wrong is told', () => {
  const place = 'iscsi://10.0.0.9/iqn.2026-11.com.example:array/1'
  const toml = sample.replace('file:lun1.img', `${place}?user=n1&secret_file=chap`)
  const { luns } = loadConfig('/etc/matrix/m.toml', host(toml))
  assert.is(luns[0]?.url, `${place}?user=n1&secret_file=/etc/matrix/chap`)
  const problems = problemsOf([['file:lun1.img', `${place}?user=n1`]])
  assert.is(problems.length, 1)
  assert.match(problems[0] as string, /luns\[0\]\.url: .*user and secret_file go together/)
})

test('the admin plane: others reach it only where they log in over TLS; it has a port of its own', () => {
  const with_ = (at: string) => loadConfig('/etc/matrix/m.toml', host(sample.replace('"127.0.0.1:20190"', `"${at}"`)))
  const access = { anonymous: 'viewer' }
  assert.equal(with_('[::1]:20190').admin, { listen: { host: '::1', port: 20190 }, access })
  assert.equal(with_('localhost:20190').admin, { listen: { host: 'localhost', port: 20190 }, access })
  for (const at of ['0.0.0.0:20190', '10.0.0.1:20190', '[::]:20190', 'example.net:20190'])
    assert.equal(problemsOf([['"127.0.0.1:20190"', `"${at}"`]]), [
      `admin.users: missing; others reach ${at}, and nobody may look there without it`,
      `admin.tls_cert: missing; others reach ${at}, and nobody may look there without it`,
    ])
  const edit = (lines: string): [string, string] => ['"127.0.0.1:20190"', `"127.0.0.1:20190"\n${lines}`]
  assert.equal(problemsOf([edit('operators = ["ann"]')]), [
    'admin.users: missing; admin.viewers and admin.operators are users of that file',
  ])
  assert.equal(problemsOf([edit('users = "u"')]), [
    'admin.operators: nobody; with admin.users somebody has to be among admin.operators or admin.viewers',
  ])
  assert.equal(problemsOf([edit('users = "u"\noperators = ["@a"]\nanonymous = "operator"')]), [
    'admin.anonymous: "operator"; with admin.users everybody logs in: leave it out',
  ])
  assert.equal(problemsOf([edit('tls_cert = "c"')]), ['admin.tls_key: missing; admin.tls_cert needs it beside it'])
  const { admin } = loadConfig(
    '/etc/matrix/m.toml',
    host(sample.replace(...edit('users = "u"\noperators = ["@a", "b"]'))),
  )
  assert.equal(admin?.access, { users: '/etc/matrix/u', viewers: [], operators: ['@a', 'b'] })
  assert.equal(problemsOf([['"127.0.0.1:20190"', '"127.0.0.1:20180"']]), [
    'admin.listen: 127.0.0.1:20180 is also that of http.listen; allowed is a port of its own',
  ])
})

test('the Redis of the jobs: its URL, and its password from a file that is its owner’s', () => {
  const edit = (lines: string): [string, string] => ['"127.0.0.1:20190"', `"127.0.0.1:20190"\n${lines}`]
  const password = 'redis_password_file = "secret"'
  const of = (lines: string) => loadConfig('/etc/matrix/m.toml', host(sample.replace(...edit(lines)))).admin?.redis
  assert.equal(of('redis = "redis://jobs.example:6379/2"'), { url: 'redis://jobs.example:6379/2' })
  assert.equal(of(`redis = "rediss://[fd00::1]"\n${password}`), { url: 'rediss://[fd00::1]', password: secret })
  assert.equal(of('redis = "unix:/run/redis.sock"'), { url: 'unix:/run/redis.sock' })
  for (const url of [
    'redis://:geheim@host',
    'redis://me:geheim@host',
    'host:6379',
    'http://host',
    'unix:run',
    'redis://',
  ])
    assert.match(
      problemsOf([edit(`redis = "${url}"`)])[0] as string,
      /^admin\.redis: found ".*"; allowed is redis:\/\/HOST/,
    )
  assert.not.match(problemsOf([edit('redis = "redis://me:geheim@host"')]).join(), /geheim/)
  assert.equal(problemsOf([edit(password)]), [
    'admin.redis_password_file: there is no admin.redis; add it, or leave this out',
  ])
  const readable = problemsOf([edit(`redis = "redis://host"\n${password}`)], { mode: 0o644 })
  assert.ok(
    readable.includes(
      'admin.redis_password_file: /etc/matrix/secret has mode 644; allowed is 600 or 400 (chmod 600 /etc/matrix/secret)',
    ),
  )
  assert.equal(problemsOf([edit('redis = "redis://host"\nredis_password_file = "gone"')]), [
    'admin.redis_password_file: cannot read /etc/matrix/gone: ENOENT',
  ])
})

test('several networks: a list of addresses, the preferred one first', () => {
  const two = sample.replace('"127.0.0.1:20101"', '["127.0.0.1:20101", "10.1.0.1:20101"]')
  const config = loadConfig('/etc/matrix/m.toml', host(two))
  const other = { host: '10.1.0.1', port: 20101 }
  assert.equal(config.node, { name: 'n1', slot: 0, mesh: { host: '127.0.0.1', port: 20101 }, otherMeshes: [other] })
  assert.equal(
    problemsOf([
      ['"127.0.0.1:20101"', '["127.0.0.1:20101", "127.0.0.1:20180"]'],
      ['"127.0.0.1:20201"', '["127.0.0.1:20201", "127.0.0.1:20101"]'],
    ]),
    [
      'nodes[1].mesh: 127.0.0.1:20101 is also that of nodes[0]; allowed is one each',
      'http.listen: 127.0.0.1:20180 is also that of the mesh of this node; allowed is a port of its own',
    ],
  )
})

test('a node that is not among the nodes says its slot and address itself', () => {
  const alone = (keys: string, nodes = '') => `
    matrix = { name = "m", secret = "${secret}" }
    node = { name = "d", state_dir = "/var/lib/m"${keys} }
    luns = [{ url = "file:/dev/shm/l" }]
    ${nodes}`
  const problem = (toml: string) => () => loadConfig('/etc/matrix/m.toml', host(toml))
  const config = loadConfig('/etc/matrix/m.toml', host(alone(', slot = 3, mesh = "10.0.0.4:7001"')))
  assert.equal(config.node, { name: 'd', slot: 3, mesh: { host: '10.0.0.4', port: 7001 }, otherMeshes: [] })
  assert.equal(config.nodes, [])
  assert.throws(problem(alone(', slot = 3')), /node.name: "d" is not among .*node.slot and node.mesh beside it/)
  const listed = (name: string) => `nodes = [{ name = "${name}", slot = 3, mesh = "10.0.0.1:7001" }]`
  const own = ', slot = 3, mesh = "10.0.0.4:7001"'
  assert.throws(problem(alone(own, listed('d'))), /node.slot: "d" has one in \[\[nodes\]\]/)
  assert.throws(problem(alone(own, listed('a'))), /node.slot: 3 is that of another node in \[\[nodes\]\]/)
})

test('mounts: relative directories are below the file, each is named once', () => {
  const mounts = (...directories: string[]) =>
    sample + directories.map((directory) => `[[mounts]]\nfilesystem = "home"\ndirectory = "${directory}"\n`).join('')
  assert.equal(loadConfig('/etc/matrix/m.toml', host(mounts('mnt', '/home'))).mounts, [
    { filesystem: 'home', directory: '/etc/matrix/mnt' },
    { filesystem: 'home', directory: '/home' },
  ])
  assert.throws(() => loadConfig('/etc/matrix/m.toml', host(mounts('/m', '/m'))), /mounts\[1\].directory.*mounts\[0\]/)
})

for (const [what, edits, problem] of [
  ['an unknown key', [['io_timeout =', 'io_timeot =']], 'timings.io_timeot: unknown key; did you mean io_timeout?'],
  ['a swapped letter', [['[fencing]', '[fencign]']], 'fencign: unknown key; did you mean fencing?'],
  ['a far-off key', [['io_timeout =', 'patience =']], 'timings.patience: unknown key; known here: io_timeout'],
  [
    'a duration without its unit',
    [['"2s"', '2']],
    'timings.io_timeout: found 2; allowed is a duration 100ms…60s with its unit (ms, s, m, h), such as "2s"',
  ],
  [
    'a duration out of range',
    [['"2s"', '"2m"']],
    'timings.io_timeout: found "2m"; allowed is a duration 100ms…60s with its unit (ms, s, m, h), such as "2s"',
  ],
  [
    'a size in an unknown unit',
    [['"256MiB"', '"256 pages"']],
    'cache.data: found "256 pages"; allowed is a size 16MiB…1TiB, such as "16MiB" or a number of bytes',
  ],
  [
    'an address without its port',
    [['"127.0.0.1:20201"', '"127.0.0.1"']],
    'nodes[1].mesh: found "127.0.0.1"; allowed is host:port with a port 1…65535, such as "10.0.0.1:20101" or "[::1]:20101", or a list of 1…4 different ones',
  ],
  ['a slot out of range', [['slot = 1', 'slot = 64']], 'nodes[1].slot: found 64; allowed is a whole number 0…63'],
  ['a missing key', [['slot = 1\n', '']], 'nodes[1].slot: missing; allowed is a whole number 0…63'],
  [
    'an unknown fence agent',
    [['"kill", "lease"', '"kill", "stonith"']],
    'fencing.agents[1]: found "stonith"; allowed is one of "kill", "scsi-pr", "script", "lease"',
  ],
  [
    'a fence script that is not named',
    [['"kill", "lease"', '"script", "lease"']],
    'fencing.script: missing; agent "script" needs the absolute path of a program, such as "/etc/matrixfs/fence"',
  ],
  [
    'a fence script whose path is relative',
    [['agents = ["kill", "lease"]', 'script = "fence"\nagents = ["script"]']],
    'fencing.script: found "fence"; allowed is an absolute path',
  ],
  [
    'a fence script that may not be run',
    [['agents = ["kill", "lease"]', 'script = "/etc/matrix/secret"\nagents = ["script"]']],
    'fencing.script: /etc/matrix/secret has mode 600; allowed is one that may be run (chmod 755 /etc/matrix/secret)',
  ],
  [
    'a fence script that is not there',
    [['agents = ["kill", "lease"]', 'script = "/etc/matrix/fence"\nagents = ["script"]']],
    'fencing.script: cannot use /etc/matrix/fence: ENOENT',
  ],
  [
    'a fence script that is no agent',
    [['agents = ["kill", "lease"]', 'script = "/etc/matrix/secret"']],
    'fencing.script: "script" is not among fencing.agents; add it there, or leave this out',
  ],
  [
    'a time for a script that is no agent',
    [['agents = ["kill", "lease"]', 'script_timeout = "5s"']],
    'fencing.script_timeout: "script" is not among fencing.agents; add it there, or leave this out',
  ],
  [
    'a script without time',
    [['agents = ["kill", "lease"]', 'script = "/etc/matrix/run"\nscript_timeout = "0s"\nagents = ["script"]']],
    'fencing.script_timeout: found "0s"; allowed is a duration 100ms…10m with its unit (ms, s, m, h), such as "2s"',
  ],
  [
    'an agent named twice',
    [['"kill", "lease"', '"lease", "lease"']],
    'fencing.agents: names an agent twice; allowed is once each',
  ],
  [
    'no fence agent at all',
    [['"kill", "lease"', '']],
    'fencing.agents: found []; allowed is at least one agent: without one no lock of a failed node is ever freed',
  ],
  [
    'a client that is no network',
    [['"127.0.0.0/8"', '"10.0.0.0/33"']],
    'exports[0].clients[0]: found "10.0.0.0/33"; allowed is "*", an IP address, a network such as "10.0.0.0/8" or "fd00::/8", or a host\'s name such as "build7.example.org" or "*.example.org"',
  ],
  [
    'two nodes with one name',
    [['name = "n2"', 'name = "n1"']],
    'nodes[1].name: "n1" is also that of nodes[0]; allowed is one each',
  ],
  [
    'two nodes with one slot',
    [['slot = 1', 'slot = 0']],
    'nodes[1].slot: 0 is also that of nodes[0]; allowed is one each',
  ],
  [
    'two nodes with one address',
    [['20201', '20101']],
    'nodes[1].mesh: 127.0.0.1:20101 is also that of nodes[0]; allowed is one each',
  ],
  [
    'one LUN twice',
    [['lun2.img', 'lun1.img']],
    'luns[1].url: "file:lun1.img" is also that of luns[0]; allowed is one each',
  ],
  [
    'two services on one port',
    [['20180', '20149']],
    'http.listen: 127.0.0.1:20149 is also that of nfs.listen; allowed is a port of its own',
  ],
  [
    'our own port mapper where NFS is',
    [['listen = "127.0.0.1:20149"', 'listen = "127.0.0.1:111"']],
    'nfs.portmap_port: 127.0.0.1:111 is also that of nfs.listen; allowed is a port of its own',
  ],
  [
    'a port mapper in no known way',
    [['portmap = "auto"', 'portmap = "on"']],
    'nfs.portmap: found "on"; allowed is one of "auto", "own", "rpcbind", "off"',
  ],
  [
    'a node that is not among the nodes',
    [['name = "n1"                   # which', 'name = "n9" # which']],
    'node.name: "n9" is not among [[nodes]]; allowed is one of n1, n2, or node.slot and node.mesh beside it',
  ],
  [
    'no secret',
    [['secret_file', '# secret_file']],
    'matrix.secret, matrix.secret_file: neither is there; allowed is exactly one of them',
  ],
  [
    'a secret file that is not there',
    [['secret_file = "secret"', 'secret_file = "sekret"']],
    'matrix.secret_file: cannot read /etc/matrix/sekret: ENOENT',
  ],
  [
    'a TLS certificate without its key',
    [['[http]\nlisten', 'tls_certificate = "secret"\n[http]\nlisten']],
    'nfs.tls_key: missing; nfs.tls_certificate needs it',
  ],
  [
    'a certificate that is not there',
    [['[http]\nlisten', 'tls_certificate = "cert.pem"\ntls_key = "secret"\n[http]\nlisten']],
    'nfs.tls_certificate: cannot read /etc/matrix/cert.pem: ENOENT',
  ],
  [
    'an export that wants TLS where there is none',
    [['access = "rw"', 'tls = "required"\naccess = "rw"']],
    'exports[0].tls: found "required"; without nfs.tls_certificate allowed is "optional"',
  ],
  [
    'an export that wants certificates of clients, and no CA',
    [
      ['access = "rw"', 'tls = "mutual"\naccess = "rw"'],
      ['[http]\nlisten', 'tls_certificate = "secret"\ntls_key = "secret"\n[http]\nlisten'],
    ],
    'exports[0].tls: found "mutual"; without nfs.tls_client_ca allowed is "optional" or "required"',
  ],
  [
    'an export of no path',
    [['access = "rw"', 'directory = "../x"\naccess = "rw"']],
    'exports[0].directory: found "../x"; allowed is a path from the root of the filesystem, such as "/projects"',
  ],
  ['text that is not TOML', [['slot = 1', 'slot = = 1']], '/etc/matrix/m.toml:21:8: '],
] as const) {
  test(`bad input: ${what}`, () => {
    const problems = problemsOf(edits)
    assert.is(problems.length, 1, problems.join('\n'))
    if (problem.endsWith(' ')) assert.ok(problems[0]?.startsWith(problem), problems[0])
    else assert.is(problems[0], problem)
  })
}

test('all problems are told at once, also those of keys that do not fit each other', () => {
  const problems = problemsOf([
    ['io_timeout =', 'io_timeot ='],
    ['slot = 1', 'slot = 0'],
    ['"info"', '"loud"'],
  ])
  assert.is(problems.length, 3, problems.join('\n'))
})

test('bad input: tables where lists belong, and the other way round', () => {
  for (const toml of ['nodes = 1', 'nodes = ["n1"]', '[nodes]\nname = "n1"', '[[matrix]]', 'luns = [[]]', '']) {
    try {
      loadConfig('/etc/matrix/m.toml', host(toml))
      assert.unreachable(toml)
    } catch (error) {
      assert.ok(isMatrixError(error, 'config'), String(error))
    }
  }
})

test('a secret that others can read is refused, and so is a short one', () => {
  assert.equal(problemsOf([], { mode: 0o644 }), [
    'matrix.secret_file: /etc/matrix/secret has mode 644; allowed is 600 or 400 (chmod 600 /etc/matrix/secret)',
  ])
  assert.equal(problemsOf([], { secretText: 'short' }), [
    'matrix.secret_file: found 5 characters in the first line of /etc/matrix/secret; allowed is at least 16',
  ])
})

test('a fence script has a time of its own, or ten seconds; nobody but its owner may write to it', () => {
  const toml = (more: string) =>
    sample.replace('agents = ["kill", "lease"]', `agents = ["script"]\nscript = "/etc/matrix/run"\n${more}`)
  const load = (more: string) => loadConfig('/etc/matrix/m.toml', host(toml(more))).fencing
  assert.equal(load(''), { agents: ['script'], script: { path: '/etc/matrix/run', timeoutMs: 10_000, dryRun: false } })
  assert.equal(load('script_timeout = "1m"').script?.timeoutMs, 60_000)
  assert.is(load('script_dry_run = true').script?.dryRun, true)
  assert.equal(
    problemsOf([['agents = ["kill", "lease"]', 'script = "/etc/matrix/run"\nagents = ["script"]']], {
      scriptMode: 0o775,
    }),
    ['fencing.script: /etc/matrix/run has mode 775; only its owner may write to it (chmod 755 /etc/matrix/run)'],
  )
})

test('logins, TLS and identity providers: what belongs together, and paths beside the file', () => {
  const http = (more: string) => sample.replace('\n[http]\n', `\n[http]\n${more}\n`)
  const load = (more: string) => loadConfig('/etc/matrix/m.toml', host(http(more)))
  const { http: found, exports } = load('users = "users.toml"\ntls_cert = "/c.pem"\ntls_key = "secret"')
  assert.equal(found?.tls, { cert: '/c.pem', key: '/etc/matrix/secret' })
  assert.is(found?.users, '/etc/matrix/users.toml')
  assert.is(exports[0]?.anonymous, 'off')
  const bearer = 'bearer_issuer = "https://id.example"\nbearer_audience = "m"\nbearer_keys = "k.json"'
  assert.equal(load(`users = "u"\n${bearer}`).http?.bearer, {
    ...{ issuer: 'https://id.example', audience: 'm', keys: '/etc/matrix/k.json', claim: 'preferred_username' },
  })
  const problems = (more: string, options?: Parameters<typeof host>[1]) =>
    problemsOf([['\n[http]\n', `\n[http]\n${more}\n`]], options)
  assert.equal(problems('tls_cert = "c"'), ['http.tls_key: missing; http.tls_cert needs it beside it'])
  assert.equal(problems('tls_cert = "c"\ntls_key = "none"'), ['http.tls_key: cannot read /etc/matrix/none: ENOENT'])
  assert.equal(problems(bearer), [
    'http.bearer_issuer: there is no http.users; allowed is with the users whom its tokens are of',
  ])
  assert.equal(problems('users = "u"\nbearer_keys = "k"'), [
    'http.bearer_issuer: missing; http.bearer_keys needs it beside it',
    'http.bearer_audience: missing; http.bearer_keys needs it beside it',
  ])
  assert.equal(problemsOf([['filesystem = "home"', 'filesystem = "home"\nanonymous = "ro"']]), [
    'exports[0].anonymous: "ro", and nobody can log in without http.users; allowed is "rw" then',
  ])
  for (const written of ['public, max-age=3600', 'private,no-store', 'no-cache="set-cookie"'])
    assert.equal(problemsOf([['filesystem = "home"', `filesystem = "home"\ncache_control = '${written}'`]]), [])
  for (const written of ['', 'max-age=', 'public\\r\\nX: y', 'public;max-age=1']) {
    const [problem] = problemsOf([['filesystem = "home"', `filesystem = "home"\ncache_control = "${written}"`]])
    assert.match(problem as string, 'exports[0].cache_control')
    assert.match(problem as string, 'such as "public, max-age=3600"')
  }
})

test('a file that is not there is said to be so', () => {
  assert.throws(() => loadConfig('/nowhere/m.toml', host(sample)), /\/nowhere\/m\.toml: there is no such file/)
})

const virtualHost = `
[[virtual_hosts]]
name = "files"
address = "10.0.0.50/24"
interface = "eth0"
nodes = ["n1", "n2"]
`

test('a virtual host has the policy and the monitors that most want, and may have others', () => {
  const [files, six] = loadConfig(
    '/etc/matrix/m.toml',
    host(`${sample}${virtualHost}
[[virtual_hosts]]
name = "six"
address = "FD00:0:0::50/64"
interface = "eth1"
nodes = ["n2"]
policy = "NOFAILBACK"
monitors = ["http", "tcp:[::1]:445"]
probe_interval = "5s"
probe_timeout = "500ms"
probe_retries = 0
`),
  ).virtualHosts
  assert.equal(files, {
    ...{
      name: 'files',
      address: '10.0.0.50',
      prefix: 24,
      interface: 'eth0',
      nodes: ['n1', 'n2'],
      policy: 'AUTOFAILBACK',
    },
    monitors: [{ kind: 'nfs', at: { host: '127.0.0.1', port: 20149 }, intervalMs: 1000, timeoutMs: 1000, retries: 2 }],
  })
  assert.equal([six?.address, six?.prefix, six?.policy], ['fd00::50', 64, 'NOFAILBACK'])
  const patience = { intervalMs: 5000, timeoutMs: 500, retries: 0 }
  assert.equal(six?.monitors, [
    { kind: 'http', at: { host: '127.0.0.1', port: 20180 }, path: '/', ...patience },
    { kind: 'tcp', at: { host: '::1', port: 445 }, ...patience },
  ])
})

test('a monitor reaches what listens on all addresses over loopback', () => {
  const at = (listen: string) => {
    const toml = `${sample.replace('"127.0.0.1:20149"', `"${listen}"`)}${virtualHost}`
    const [check] = loadConfig('/etc/matrix/m.toml', host(toml)).virtualHosts[0]?.monitors ?? []
    return check && 'at' in check ? check.at : undefined
  }
  assert.equal(at('0.0.0.0:2049'), { host: '127.0.0.1', port: 2049 })
  assert.equal(at('[::]:2049'), { host: '::1', port: 2049 })
})

test('what is wrong with virtual hosts is told', () => {
  const problems = (toml: string) => problemsOf([['[cache]', `${toml}\n[cache]`]])
  const but = (from: string, to: string) => problems(virtualHost.replace(from, to))
  assert.equal(but('10.0.0.50/24', '10.0.0.50'), [
    'virtual_hosts[0].address: found "10.0.0.50"; allowed is an IP address and the bits of its network, such as "10.0.0.50/24" or "fd00::50/64"',
  ])
  assert.equal(but('["n1", "n2"]', '["n1", "n1"]'), [
    'virtual_hosts[0].nodes: names a node twice; allowed is once each',
  ])
  assert.equal(but('interface = "eth0"', 'interface = "eth 0"').length, 1)
  assert.equal(but('interface = "eth0"', 'interface = "eth0"\npolicy = "autofailback"'), [
    'virtual_hosts[0].policy: found "autofailback"; allowed is one of "AUTOFAILBACK", "NOFAILBACK"',
  ])
  assert.equal(but('interface = "eth0"', 'interface = "eth0"\nmonitors = ["ftp"]'), [
    'virtual_hosts[0].monitors[0]: found "ftp"; allowed is "nfs", "http", or "tcp:" and host:port, such as "tcp:127.0.0.1:445"',
  ])
  assert.equal(problems(virtualHost + virtualHost), [
    'virtual_hosts[1].name: "files" is also that of virtual_hosts[0]; allowed is one each',
    'virtual_hosts[1].address: "10.0.0.50" is also that of virtual_hosts[0]; allowed is one each',
  ])
  assert.equal(but('10.0.0.50/24', '127.0.0.1/8'), [
    'virtual_hosts[0].address: 127.0.0.1 is that of node n1 itself; allowed is one that no machine has',
    'nfs.listen: 127.0.0.1 is that of virtual_hosts[0], which comes and goes; allowed is an address of this node, or "0.0.0.0:20149"',
    'http.listen: 127.0.0.1 is that of virtual_hosts[0], which comes and goes; allowed is an address of this node, or "0.0.0.0:20180"',
  ])
  const withoutNfs = sample.replace(/\[nfs\]\n.*\n/, '').replace('[cache]', `${virtualHost}monitors = ["nfs"]\n[cache]`)
  assert.throws(
    () => loadConfig('/etc/matrix/m.toml', host(withoutNfs)),
    /monitors: "nfs" is not served by this node; add \[nfs\]/,
  )
})

test('a script for addresses may be run, and only its owner may write to it', () => {
  const toml = `[addresses]\nscript = "/etc/matrix/run"\n\n[cache]`
  assert.equal(problemsOf([['[cache]', toml]]), [])
  assert.equal(problemsOf([['[cache]', toml]], { scriptMode: 0o777 }), [
    'addresses.script: /etc/matrix/run has mode 777; only its owner may write to it (chmod 755 /etc/matrix/run)',
  ])
  const { addresses } = loadConfig('/etc/matrix/m.toml', host(sample.replace('[cache]', toml)))
  assert.equal(addresses.script, { path: '/etc/matrix/run', timeoutMs: 5000 })
})

test('services and devices: what is probed and how, and who they are for', () => {
  const { services } = loadConfig(
    '/etc/matrix/m.toml',
    host(`${sample}${virtualHost}
[[services]]
name = "web"
virtual_hosts = ["files"]
kind = "https"
at = "127.0.0.1:443"
start = "/etc/matrix/run"
stop = "/etc/matrix/run"
policy = "NOAUTORECOVER"

[[services]]
name = "own"
virtual_hosts = ["files"]
kind = "http"
path = "/health"

[[devices]]
name = "uplink"
kind = "gateway"
gateway = "10.0.0.1:80"
`),
  )
  const patience = { intervalMs: 1000, timeoutMs: 1000, retries: 2 }
  const program = { path: '/etc/matrix/run', timeoutMs: 10_000 }
  assert.equal(services, [
    {
      ...{ name: 'web', type: 'application', hosts: ['files'], policy: 'NOAUTORECOVER', weight: 1, restarts: 1 },
      check: { kind: 'https', at: { host: '127.0.0.1', port: 443 }, path: '/', ...patience },
      ...{ startsFirst: false, recoverAfterMs: 300_000, start: program, stop: program },
    },
    {
      ...{ name: 'own', type: 'service', hosts: ['files'], policy: 'AUTORECOVER', weight: 1, restarts: 1 },
      check: { kind: 'http', at: { host: '127.0.0.1', port: 20180 }, path: '/health', ...patience },
      ...{ startsFirst: false, recoverAfterMs: 300_000 },
    },
    {
      ...{ name: 'uplink', type: 'device', hosts: ['files'], policy: 'AUTORECOVER', weight: 0, restarts: 1 },
      check: { kind: 'gateway', host: '10.0.0.1', port: 80, ...patience },
      ...{ startsFirst: false, recoverAfterMs: 0 },
    },
  ])
})

test('services and devices that cannot be are told with the key, what was found, and what is allowed', () => {
  const service = (...lines: string[]) =>
    problemsOf([
      ['[log]', `${virtualHost}\n[[services]]\nname = "web"\nvirtual_hosts = ["files"]\n${lines.join('\n')}\n[log]`],
    ])
  const device = (...lines: string[]) =>
    problemsOf([['[log]', `${virtualHost}\n[[devices]]\nname = "disk"\n${lines.join('\n')}\n[log]`]])
  assert.equal(service('kind = "smtp"'), ['services[0].at: missing; kind "smtp" needs it'])
  assert.equal(service('kind = "tcp"', 'at = "127.0.0.1:1"', 'query = "x.org"'), [
    'services[0].query: kind "tcp" has none; leave it out',
  ])
  assert.match(service('kind = "telnet"')[0] as string, /services\[0\]\.kind: found "telnet"; allowed is one of "nfs"/)
  assert.equal(service('kind = "nfs"', 'start = "/etc/matrix/run"'), [
    'services[0].stop: missing; what is started with a virtual host is stopped with it',
  ])
  assert.equal(service('kind = "nfs"', 'stop = "/etc/matrix/run"'), [
    'services[0].stop: there is no "start"; add it, or leave this out',
  ])
  assert.equal(service('kind = "nfs"', 'recover = "/no/such"'), ['services[0].recover: cannot use /no/such: ENOENT'])
  assert.equal(device('kind = "disk"', 'path = "/dev/sda"', 'virtual_hosts = ["www"]'), [
    'devices[0].virtual_hosts: "www" is not among [[virtual_hosts]]; allowed is files',
  ])
  assert.match(
    problemsOf([['[log]', '[[devices]]\nname = "disk"\nkind = "disk"\npath = "/dev/sda"\n[log]']])[0] as string,
    'devices[0].virtual_hosts: there are no [[virtual_hosts]] that could need it',
  )
  assert.equal(device('kind = "gateway"', 'gateway = "router.example"'), [
    'devices[0].gateway: found "router.example"; allowed is an IP address, or one with a port, such as "10.0.0.1" or "10.0.0.1:80"',
  ])
})

test('a rule of the notifier has one target, and what that needs; its paths are found beside the file', () => {
  const load = (text: string) => loadConfig('/etc/matrix/m.toml', host(`${sample}\n${text}`))
  const mail = '[mail]\nserver = "smtp.example.org:587"\nfrom = "m@example.org"\nuser = "m"\npassword_file = "pass"\n'
  const [hook, ops] = load(
    `[[notify]]\nname = "hook"\nwebhook_file = "url"\nevents = ["node-*"]\n[[notify]]\nname = "ops"\nmail_to = ["o@example.org"]\nretries = 0\n${mail}`,
  ).notify
  assert.equal(hook, {
    ...{ name: 'hook', events: ['node-*'], objects: ['*'], severity: 'info', timeoutMs: 30_000, retries: 12 },
    ...{ retryAfterMs: 1000, target: { kind: 'webhook', url: { file: '/etc/matrix/url' } } },
  })
  assert.equal(ops?.target.kind === 'mail' && ops.target.server, {
    ...{ host: 'smtp.example.org', port: 587, security: 'starttls', from: 'm@example.org' },
    login: { user: 'm', passwordFile: '/etc/matrix/pass' },
  })
  for (const [text, problem] of [
    ['[[notify]]\nname = "a"', /notify\[0\]: found no target; allowed is exactly one of script, webhook/],
    [
      '[[notify]]\nname = "a"\nwebhook = "http://x/"\nscript = "/x"',
      /found script and webhook; allowed is exactly one/,
    ],
    ['[[notify]]\nname = "a"\nmail_to = ["o@example.org"]', /notify\[0\]\.mail_to: there is no \[mail\]/],
    ['[[notify]]\nname = "a"\nmail_to = ["nobody"]', /mail_to.*found "nobody"; allowed is an address/],
    ['[[notify]]\nname = "a"\nwebhook = "ftp://x"', /notify\[0\]\.webhook: found "ftp:\/\/x"; allowed is a URL/],
    [mail.replace('user = "m"\n', ''), /mail\.user: missing; mail\.password_file needs it/],
  ] as const)
    assert.throws(() => load(text), problem)
})

test.run()
