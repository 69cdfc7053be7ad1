import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LeaseSector } from '../../../src/san/lease-sector.ts'
import { Sightings } from '../../../src/san/sightings.ts'

const test = suite('san: signs of life')

function written(incarnation: number, counter: number, nonce = 'a'): LeaseSector {
  return {
    ...{ slot: 0, incarnation, counter, nonce, nodeName: 'n1', state: 'active', ioTimeoutMs: 2000, hostName: 'h' },
    ...{ process: { bootId: 'b', pid: 1, startTime: 1 }, address: { host: 'h', port: 1 } },
  }
}

test('only a writing that was never met is a sign of life, whichever copies a read meets', () => {
  const seen = new Sightings()
  assert.is(seen.meet([written(3, 7)])?.counter, 7)
  assert.is(seen.meet([written(3, 6), written(2, 90)]), undefined, 'older copies')
  assert.is(seen.meet([written(3, 7)]), undefined)
  assert.is(seen.meet([]), undefined)
  assert.is(seen.meet([written(3, 7), written(3, 8)])?.counter, 8)
  assert.is(seen.newest?.counter, 8)
})

test('a rival of the same incarnation shows life once for each of its writings', () => {
  const seen = new Sightings()
  seen.meet([written(3, 1, 'a')])
  assert.is(seen.meet([written(3, 1, 'b')])?.nonce, 'b')
  for (let i = 0; i < 3; i++) {
    assert.is(seen.meet([written(3, 1, 'a')]), undefined)
    assert.is(seen.meet([written(3, 1, 'b'), written(3, 1, 'a')]), undefined)
  }
  assert.is(seen.meet([written(3, 2, 'a')])?.nonce, 'a')
})

test('a newer incarnation ends what was known of the one before', () => {
  const seen = new Sightings()
  seen.meet([written(3, 50)])
  assert.is(seen.meet([written(4, 1), written(3, 51)])?.incarnation, 4)
  assert.is(seen.meet([written(3, 52)]), undefined)
})

test.run()
