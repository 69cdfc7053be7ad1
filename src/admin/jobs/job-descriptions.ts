/** The kinds of jobs as programs and forms are told of them, with the JSON schemas of their inputs. */
import { toJsonSchema } from '@valibot/to-json-schema'
import type { Jobs } from '../api/jobs.ts'
import { jobKinds } from './kinds/index.ts'

let described: Jobs['kinds'] | undefined

export function describeKinds(): Jobs['kinds'] {
  described ??= jobKinds.map(({ name, title, summary, confirm = false, input }) => {
    const { $schema: _, ...schema } = toJsonSchema(input, { errorMode: 'ignore' })
    return { name, title, summary, confirm, input: schema as Record<string, unknown> }
  })
  return described
}
