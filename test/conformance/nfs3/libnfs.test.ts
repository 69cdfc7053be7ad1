/** LIB: the client of others. libnfs' tools copy a tree in at one node and out at another. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Prng } from '../../../src/base/prng.ts'
import { makeNfsMatrix } from '../../helpers/nfs-matrix.ts'
import { requireProgram, runProgram } from '../../helpers/program.ts'

for (const name of ['nfs-ls', 'nfs-cp', 'nfs-cat']) requireProgram(name, 'libnfs-utils')

const world = await makeNfsMatrix({ nodes: 2 })
const folder = mkdtempSync(join(tmpdir(), 'matrixfs-libnfs-'))
const url = (node: number, path: string) => {
  const { port } = world.served[node]!
  return `nfs://127.0.0.1/home${path}?version=3&nfsport=${port}&mountport=${port}`
}
async function run(name: string, ...args: string[]): Promise<string> {
  const { status, output } = await runProgram(name, args, { limitMs: 20_000 })
  assert.is(status, 0, `${name} ${args.join(' ')}: ${output}`)
  return output
}

test('LIB1 files of many sizes go in at one node and come out at the other', async () => {
  const prng = new Prng(3)
  const dir = await world.any().mkdir(world.root, 'LIB1', 0o777)
  await world.any().mkdir(dir, 'sub', 0o777)
  for (const size of [0, 1, 4096, 70_000, 3_000_001]) {
    const local = join(folder, `f${size}`)
    writeFileSync(local, prng.bytes(size))
    await run('nfs-cp', local, url(0, `/LIB1/sub/f${size}`))
    await run('nfs-cp', url(1, `/LIB1/sub/f${size}`), `${local}-back`)
    assert.ok(readFileSync(local).equals(readFileSync(`${local}-back`)), `${size} bytes`)
  }
  writeFileSync(join(folder, 'text'), 'from one node to the other\n')
  await run('nfs-cp', join(folder, 'text'), url(1, '/LIB1/text'))
  assert.is(await run('nfs-cat', url(0, '/LIB1/text')), 'from one node to the other\n')
})

test('LIB2 nfs-ls lists a tree with sizes', async () => {
  const lines = (await run('nfs-ls', '-R', url(1, '/LIB1'))).trim().split('\n')
  const found = lines.map((line) => line.trim().split(/\s+/).slice(-2).join(' ')).sort()
  for (const wanted of ['3000001 sub/f3000001', '0 sub/f0', '27 text']) {
    assert.ok(found.includes(wanted), `${wanted} in ${found.join(', ')}`)
  }
})

test('LIB3 a path that is not there is an error of the tool, not of the server', async () => {
  const { status, output } = await runProgram('nfs-cat', [url(0, '/LIB1/absent')], { limitMs: 20_000 })
  assert.is.not(status, 0)
  assert.match(output, /NOENT/i)
})

test.after(async () => {
  rmSync(folder, { recursive: true, force: true })
  await world.close()
})
test.run()
