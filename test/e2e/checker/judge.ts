/** All objects of a history, each against its model. */
import { byObject, type Death, type Operation } from './history.ts'
import { directories } from './models/directory.ts'
import { appendLog } from './models/log.ts'
import type { Model } from './models/model.ts'
import { register } from './models/register.ts'
import { describeWindow } from './report.ts'
import { explain } from './wgl.ts'

export type Judgement = {
  readonly objects: number
  readonly operations: number
  readonly configurations: number
  /** One report per object that is not explained. */
  readonly unexplained: readonly string[]
  readonly undecided: readonly string[]
}

export function judge(operations: readonly Operation[], deaths: readonly Death[], bound?: number): Judgement {
  const unexplained: string[] = []
  const undecided: string[] = []
  let configurations = 0
  const objects = byObject(operations)
  for (const [object, own] of objects) {
    const model = modelOf(object)
    const verdict = explain(model, own, { deaths, ...(bound !== undefined && { bound }) })
    configurations += verdict.configurations
    if (verdict.kind === 'unexplained') unexplained.push(describeWindow(object, model, verdict))
    if (verdict.kind === 'undecided')
      undecided.push(`${object}: ${own.length} operations are undecided after ${verdict.configurations} configurations`)
  }
  return { objects: objects.size, operations: operations.length, configurations, unexplained, undecided }
}

function modelOf(object: string): Model<unknown, unknown, unknown> {
  if (object.startsWith('logs/')) return appendLog as Model<unknown, unknown, unknown>
  if (object.startsWith('pair')) return directories as Model<unknown, unknown, unknown>
  return register as Model<unknown, unknown, unknown>
}
