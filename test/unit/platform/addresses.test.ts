/** Addresses of a real machine: a network namespace, by the programs of the system and by a script. Skipped, with the reason, where there can be none. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../src/base/errors.ts'
import type { HostAddress, HostAddresses, Programs } from '../../../src/platform/index.ts'
import { silentLog } from '../../../src/platform/log.ts'
import { IpAddresses } from '../../../src/platform/real/ip-addresses.ts'
import { isProgram, realPrograms } from '../../../src/platform/real/programs.ts'
import { ScriptAddresses } from '../../../src/platform/real/script-addresses.ts'
import { lacking } from '../../e2e/vhost/lacking.ts'
import { Segment } from '../../e2e/vhost/segment.ts'

const test = suite('platform: addresses')
const missing = lacking()
if (missing.length > 0) console.log(`skipped, since this machine lacks:\n  ${missing.join('\n  ')}`)
const run = missing.length > 0 ? test.skip : test
const prefix = `t${process.pid.toString(36)}`

/** Two machines on a segment; the addresses of the first. */
async function on(work: (segment: Segment, addresses: HostAddresses) => Promise<void>): Promise<void> {
  const segment = Segment.create(prefix, 2)
  const [nsenter, ...before] = segment.enter('n1')
  const programs: Programs = {
    run: (program) =>
      realPrograms.run({ ...program, path: `/usr/bin/${nsenter}`, args: [...before, program.path, ...program.args] }),
  }
  try {
    await work(segment, new IpAddresses({ programs, log: silentLog, isProgram, sysctl: sysctlOf(segment) }))
  } finally {
    segment.remove()
  }
}

const sysctlOf = (segment: Segment) => (name: string) =>
  segment.run('n1', 'cat', `/proc/sys/${name}`).trim() || undefined

const pings = (segment: Segment, address: string): boolean => {
  try {
    segment.run('n2', 'arping', '-c', '1', '-w', '1', '-I', 'eth0', address)
    return true
  } catch {
    return false
  }
}

run('an address is added, answered for, renewed and removed; neither has to be done once only', async () => {
  await on(async (segment, addresses) => {
    const address: HostAddress = { address: segment.address(50), prefix: 24, interface: 'eth0' }
    assert.not(await addresses.has(address))
    await addresses.remove(address)
    await addresses.add(address, 60_000)
    await addresses.add(address, 60_000)
    assert.ok(await addresses.has(address))
    assert.not(await addresses.has({ ...address, address: segment.address(5) }), 'a beginning of it is another')
    assert.ok(pings(segment, address.address))
    await addresses.announce(address, new AbortController().signal)
    await addresses.remove(address)
    assert.not(await addresses.has(address))
    assert.not(pings(segment, address.address))
  })
})

run('a neighbour learns by the announcement that it is elsewhere', async () => {
  await on(async (segment, addresses) => {
    const address: HostAddress = { address: segment.address(50), prefix: 24, interface: 'eth0' }
    segment.ip('n2', 'addr', 'add', `${address.address}/24`, 'dev', 'eth0')
    segment.run('client', 'arping', '-c', '1', '-w', '1', '-I', 'eth0', address.address)
    segment.ip(
      'client',
      'neigh',
      'replace',
      address.address,
      'lladdr',
      macOf(segment, 'n2'),
      'dev',
      'eth0',
      'nud',
      'stale',
    )
    segment.ip('n2', 'addr', 'del', `${address.address}/24`, 'dev', 'eth0')
    await addresses.add(address, 60_000)
    await addresses.announce(address, new AbortController().signal)
    assert.match(segment.ip('client', 'neigh', 'show', address.address), macOf(segment, 'n1'))
  })
})

run('IPv6: where the kernel is set so, it tells the neighbours of a new address by itself', async () => {
  await on(async (segment, addresses) => {
    const address: HostAddress = { address: segment.ipv6(0x50), prefix: 64, interface: 'eth0' }
    const learned = async () => {
      segment.ip(
        'client',
        'neigh',
        'replace',
        address.address,
        'lladdr',
        macOf(segment, 'n2'),
        'dev',
        'eth0',
        'nud',
        'stale',
      )
      await addresses.add(address, 60_000)
      await addresses.announce(address, new AbortController().signal)
      const found = segment.ip('client', 'neigh', 'show', address.address)
      await addresses.remove(address)
      return found.includes(macOf(segment, 'n1'))
    }
    assert.not(await learned())
    segment.announceIpv6('n1')
    assert.ok(await learned())
  })
})

/** Whether a connection to an address is refused (nobody listens there), and not left without an answer. */
const hears = (segment: Segment, address: string): boolean =>
  segment.run('n2', 'sh', '-c', `timeout 1 bash -c '</dev/tcp/${address}/9' 2>&1; echo $?`).includes('refused')

for (const family of ['IPv4', 'IPv6'] as const) {
  run(`a deaf address is still there, and nobody is answered by it: ${family}`, async () => {
    await on(async (segment, addresses) => {
      const own = { interface: 'eth0', ...(family === 'IPv4' ? { prefix: 24 } : { prefix: 64 }) }
      const address: HostAddress = { ...own, address: family === 'IPv4' ? segment.address(50) : segment.ipv6(0x50) }
      await addresses.add(address, 60_000)
      assert.ok(hears(segment, address.address))
      await addresses.deafen(address)
      assert.ok(await addresses.has(address))
      assert.not(hears(segment, address.address))
      await addresses.remove(address)
      assert.not(await addresses.has(address))
      await addresses.add(address, 60_000)
      assert.ok(hears(segment, address.address), 'removed and added it hears again')
    })
  })
}

run('nobody renews it: the system drops it by itself; IPv4 and IPv6', async () => {
  await on(async (segment, addresses) => {
    const four: HostAddress = { address: segment.address(50), prefix: 24, interface: 'eth0' }
    const six: HostAddress = { address: segment.ipv6(0x50), prefix: 64, interface: 'eth0' }
    for (const address of [four, six]) {
      await addresses.add(address, 6_900)
      assert.ok(await addresses.has(address))
    }
    const addedAt = performance.now()
    await addresses.announce(six, new AbortController().signal)
    const isThere = async () => (await addresses.has(four)) || (await addresses.has(six))
    while ((await isThere()) && performance.now() - addedAt < 30_000) await sleep(100)
    assert.not(await isThere())
  })
})

run('an address that the machine has for ever is somebody else’s: it is not removed', async () => {
  await on(async (segment, addresses) => {
    const address: HostAddress = { address: segment.address(1), prefix: 24, interface: 'eth0' }
    for (const work of [() => addresses.has(address), () => addresses.remove(address)]) {
      const error = await work().catch((caught) => caught)
      assert.ok(isMatrixError(error, 'in-use'), String(error))
    }
    assert.match(segment.ip('n1', 'addr', 'show', 'dev', 'eth0'), `${address.address}/24`)
  })
})

run('an interface that is not there is told by name', async () => {
  await on(async (segment, addresses) => {
    const error = await addresses
      .add({ address: segment.address(50), prefix: 24, interface: 'eth7' }, 1000)
      .catch((e) => e)
    assert.ok(isMatrixError(error, 'not-found'), String(error))
    assert.match(error.message, 'eth7')
  })
})

test('without ip it says what to install; without arping it goes on, with a warning', () => {
  const warnings: string[] = []
  const log = { ...silentLog, warn: (_fields: unknown, text: string) => void warnings.push(text) }
  const make = (isThere: (path: string) => boolean) =>
    new IpAddresses({ programs: realPrograms, log, isProgram: isThere, sysctl: () => undefined })
  assert.throws(() => make(() => false), /apt-get install iproute2/)
  make((path) => path === '/sbin/ip')
  assert.match(warnings[0] as string, 'apt-get install iputils-arping')
})

test('a script is told verb, address, prefix, interface and life; its exit says what is so', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'matrixfs-addresses-'))
  const script = join(dir, 'address')
  const write = (text: string) => {
    writeFileSync(script, `#!/bin/sh\n${text}\n`)
    chmodSync(script, 0o755)
  }
  const addresses = new ScriptAddresses({ programs: realPrograms, script, timeoutMs: 500 })
  const address: HostAddress = { address: 'fd00::50', prefix: 64, interface: 'em0' }
  const said = (work: Promise<unknown>) => work.then(String, (error) => error.message as string)
  try {
    write(`echo "$@" >> ${dir}/calls\n[ "$1" = has ] && exit 1; exit 0`)
    await addresses.add(address, 6_500)
    await addresses.remove(address)
    assert.is(await addresses.has(address), false)
    assert.equal(readFileSync(join(dir, 'calls'), 'utf8').trim().split('\n'), [
      'add fd00::50 64 em0 6',
      'remove fd00::50 64 em0',
      'has fd00::50 64 em0',
    ])
    write('exit 3')
    await addresses.announce(address)
    await addresses.deafen(address)
    assert.match(await said(addresses.add(address, 1000)), 'exit 3')
    write('echo no such thing; exit 1')
    assert.match(await said(addresses.remove(address)), 'remove fd00::50 64 em0: exit 1: no such thing')
    write('sleep 5')
    assert.match(await said(addresses.add(address, 1000)), 'hung for 500 ms')
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test.run()

function macOf(segment: Segment, machine: string): string {
  return /link\/ether ([0-9a-f:]+)/.exec(segment.ip(machine, 'link', 'show', 'dev', 'eth0'))?.[1] as string
}
