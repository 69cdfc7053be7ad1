/** The published description of the API (OpenAPI 3.1), made of the table that the router goes by. */
import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { failure } from './api/answers.ts'
import type { Endpoint } from './endpoints.ts'

export const API_PREFIX = '/_admin/api'

export function describeApi(endpoints: readonly Endpoint[], version: string): Record<string, unknown> {
  const refused = { description: 'Refused; the message says why, and what is allowed', ...content(failure) }
  const paths = Object.fromEntries(
    endpoints.map(({ method, path, summary, answer, question }) => [
      `${API_PREFIX}${path}`,
      {
        [method]: {
          operationId: path.slice(1),
          summary,
          ...(path === '/samples' && {
            parameters: [{ name: 'since', in: 'query', required: false, schema: { type: 'number' } }],
          }),
          ...(question && { requestBody: { required: true, ...content(question) } }),
          responses: { 200: { description: summary, ...content(answer) }, default: refused },
        },
      },
    ]),
  )
  const events = {
    get: {
      operationId: 'events',
      summary: 'Changes as they happen: events `timeline`, `state` and `log`',
      responses: { 200: { description: 'Server-sent events', content: { 'text/event-stream': {} } }, default: refused },
    },
  }
  return {
    openapi: '3.1.0',
    info: { title: 'matrixfs admin API', version, description: 'Any node answers for the whole matrix.' },
    paths: { ...paths, [`${API_PREFIX}/events`]: events },
  }
}

function content(schema: v.GenericSchema): object {
  const { $schema: _, ...json } = toJsonSchema(schema)
  return { content: { 'application/json': { schema: json } } }
}
