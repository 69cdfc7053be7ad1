/** Programs of others over a real matrix of three: at each node, and with each request at another. */
// time limit: 300 s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type HttpMatrix, makeHttpMatrix } from '../../helpers/http-matrix.ts'
import { type RoundRobin, roundRobin } from '../../helpers/round-robin-proxy.ts'
import { litmusSuite, rcloneSuite } from '../../suites/http-clients.ts'

const test = suite('http clients')
let matrix: HttpMatrix
let proxy: RoundRobin
test.before(async () => {
  matrix = await makeHttpMatrix({ nodes: 3 })
  proxy = await roundRobin(matrix.urls)
})
test.after(async () => {
  await proxy.close()
  await matrix.close()
})
for (const node of [0, 1, 2]) litmusSuite(test, `node ${node + 1}`, () => matrix.urls[node] as string)
litmusSuite(test, 'another node with each request', () => proxy.url)
test('the proxy has sent every node its share', () => {
  assert.ok(Math.min(...proxy.counts) > 50, String(proxy.counts))
})
rcloneSuite(test, () => matrix)
test.run()
