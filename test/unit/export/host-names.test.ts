/** Clients by name: forward-confirmed, remembered, never waited for by a request. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isHostPattern } from '../../../src/base/host-pattern.ts'
import { HostNames, parseAddress } from '../../../src/export/index.ts'
import { type Clock, type HostNameService, silentLog, sleep } from '../../../src/platform/index.ts'
import { SimHost, SimWorld } from '../../sim/world.ts'

const at = (text: string) => parseAddress(text) as Uint8Array

class Zone implements HostNameService {
  readonly forward = new Map<string, string[]>()
  readonly backward = new Map<string, string[]>()
  asked = 0
  fails = false
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  addressesOf(name: string): Promise<readonly string[]> {
    return this.#answer(this.forward.get(name))
  }

  namesOf(address: string): Promise<readonly string[]> {
    return this.#answer(this.backward.get(address))
  }

  async #answer(found: readonly string[] = []): Promise<readonly string[]> {
    this.asked++
    await sleep(this.#clock, 1)
    if (this.fails) throw new Error('no answer')
    return found
  }
}

function scene() {
  const world = new SimWorld(1)
  const { clock } = new SimHost(world, 'n1')
  const zone = new Zone(clock)
  const names = new HostNames({ service: zone, clock, log: silentLog })
  return {
    world,
    zone,
    names,
    learn: (address: string, ...patterns: string[]) => world.settle(names.learn(address, patterns)),
  }
}

test('a whole name: the client has one of its addresses', async () => {
  const { zone, names, learn } = scene()
  zone.forward.set('build.example.org', ['10.0.0.7', 'fd00::7'])
  await learn('10.0.0.7', 'build.example.org')
  assert.ok(names.isNamed(at('10.0.0.7'), 'build.example.org'))
  assert.ok(names.isNamed(at('::ffff:10.0.0.7'), 'build.example.org'))
  assert.ok(names.isNamed(at('fd00::7'), 'build.example.org'))
  assert.not(names.isNamed(at('10.0.0.8'), 'build.example.org'))
})

test('a pattern: only a name that leads back to the address counts', async () => {
  const { zone, names, learn } = scene()
  zone.backward.set('10.0.0.7', ['Host.Lab.example.org.'])
  zone.backward.set('10.6.6.6', ['host.lab.example.org']) // who writes this zone writes what he likes
  zone.forward.set('host.lab.example.org', ['10.0.0.7'])
  await learn('::ffff:10.0.0.7', '*.example.org')
  await learn('10.6.6.6', '*.example.org')
  assert.ok(names.isNamed(at('10.0.0.7'), '*.example.org'))
  assert.ok(names.isNamed(at('10.0.0.7'), '*.lab.example.org'))
  assert.not(names.isNamed(at('10.0.0.7'), '*.other.org'))
  assert.not(names.isNamed(at('10.6.6.6'), '*.example.org'))
})

test('answers are remembered for a minute, hold longer when nobody answers, and change', async () => {
  const { world, zone, names, learn } = scene()
  zone.forward.set('a.example.org', ['10.0.0.1'])
  await learn('10.0.0.1', 'a.example.org')
  await learn('10.0.0.1', 'a.example.org')
  assert.is(zone.asked, 1)
  const { version } = names
  zone.fails = true
  await world.run(world.now + 61_000)
  await learn('10.0.0.1', 'a.example.org')
  assert.is(zone.asked, 2)
  assert.ok(names.isNamed(at('10.0.0.1'), 'a.example.org'), 'the last answer holds')
  assert.is(names.version, version)
  await world.run(world.now + 600_000)
  assert.not(names.isNamed(at('10.0.0.1'), 'a.example.org'), 'but not for ever')
  zone.fails = false
  zone.forward.set('a.example.org', ['10.0.0.2'])
  await learn('10.0.0.1', 'a.example.org')
  assert.not(names.isNamed(at('10.0.0.1'), 'a.example.org'))
  assert.ok(names.version > version)
})

test('what is no name is none', () => {
  for (const good of ['host', 'a.example.org', '*.example.org', 'a-1.b_c.org']) assert.ok(isHostPattern(good), good)
  for (const bad of [
    '',
    '*',
    '*.',
    'a..b',
    '-a.org',
    'A.org',
    '10.0.0.1',
    'a*.org',
    '*a.org',
    'a.org/8',
    `${'a'.repeat(64)}.org`,
  ])
    assert.not(isHostPattern(bad), bad)
})

test.run()
