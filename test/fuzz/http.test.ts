// time limit: 600 s
/** The first inputs of `npm run fuzz -- http`. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { httpTarget } from './http/target.ts'
import { fuzz } from './runner.ts'

test('twenty thousand requests, and nothing falls over', async () => {
  const { kinds, inputs } = await fuzz(httpTarget, { seed: 20_000, inputs: 20_000, hangMs: 30_000 })
  assert.is(inputs, 20_000)
  for (const method of ['PUT', 'PROPPATCH', 'LOCK', 'UNLOCK', 'COPY', 'MOVE', 'POST', 'PATCH'])
    assert.ok(kinds.has(`${method}, made`) && kinds.has(`${method}, wrong`), method)
})

test.run()
