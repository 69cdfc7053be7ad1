/**
 * A LUN is added to a running matrix and removed from it; no client meets an error. While it is there every node writes to it (each probes
 * every LUN), and from the moment at which `matrix lun remove` has ended, none does.
 */
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultTimings } from '../../../../src/base/timings.ts'
import { now } from '../../checker/clock.ts'
import { SPARE } from '../real-matrix.ts'
import { type Scenario, type Scene, seconds } from '../scenario.ts'

/** Until every node has probed its LUNs twice, ms. */
const LOOKED_AT_MS = 2 * defaultTimings.probeMs + 1000

/** `number`: of the node at which it is asked for, from 1. */
export function luns(number: number): Scenario {
  return {
    name: 'LUN added and removed',
    async play({ matrix, workload, say }) {
      const from = now()
      const node = matrix.numbered(number)
      // as an operator would: every node is told its own way to the LUN, and one of them to add it
      for (const each of matrix.nodes) appendFileSync(each.config, `\n[[luns]]\nurl = "file:${matrix.spare(each)}"\n`)
      const began = now()
      await matrix.order('lun', 'add', `file:${matrix.spare(node)}`, '--name', SPARE, '--config', node.config)
      const added = now()
      await sleep(LOOKED_AT_MS)
      await matrix.order('lun', 'remove', SPARE, '--config', node.config)
      const removed = now()
      await sleep(LOOKED_AT_MS)
      const writers = await writersOf(matrix, began, removed)
      const silent = matrix.nodes.filter((each) => !writers.has(each.number - 1)).map(({ name }) => name)
      if (silent.length > 0) throw new Error(`${silent.join(', ')} never wrote to the LUN that was added`)
      const late = await writersOf(matrix, removed, Number.POSITIVE_INFINITY)
      if (late.size > 0) throw new Error(`nodes ${[...late].map((each) => each + 1)} write to the LUN that was removed`)
      const [trouble] = workload.troubles.filter(({ time }) => time >= from)
      if (trouble) throw new Error(`a client of ${trouble.node} met an error: ${trouble.what}`)
      say(`  added within ${seconds(added - began)}, removed again; no client met an error`)
    },
  }
}

/** Indices of the nodes that wrote to the spare LUN between the times. */
async function writersOf(matrix: Scene['matrix'], from: number, to: number): Promise<ReadonlySet<number>> {
  const writes = await matrix.san.writes()
  const there = writes.filter(({ lun, time }) => lun === matrix.spareIndex && time > from && time <= to)
  return new Set(there.map(({ node }) => node))
}
