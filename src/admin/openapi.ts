/** The published description of the API (OpenAPI 3.1), made of the table that the router goes by. */
import { toJsonSchema } from '@valibot/to-json-schema'
import type * as v from 'valibot'
import { failure } from './api/answers.ts'
import type { Endpoint } from './endpoint.ts'

export const API_PREFIX = '/_admin/api'

export function describeApi(endpoints: readonly Endpoint[], version: string): Record<string, unknown> {
  const refused = { description: 'Refused; the message says why, and what is allowed', ...content(failure) }
  const paths: Record<string, Record<string, unknown>> = {}
  for (const { method, path, summary, answer, question } of endpoints) {
    const parts = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name as string)
    const parameters = [
      ...parts.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
      ...(path === '/samples' ? [{ name: 'since', in: 'query', required: false, schema: { type: 'number' } }] : []),
    ]
    const place = (paths[`${API_PREFIX}${path.replace(/:(\w+)/g, '{$1}')}`] ??= {})
    place[method] = {
      operationId: `${method === 'post' && path !== '/sql' ? 'post-' : ''}${path.slice(1).replace(/\W+/g, '-')}`,
      summary,
      ...(parameters.length > 0 && { parameters }),
      ...(question && { requestBody: { required: true, ...content(question) } }),
      responses: { 200: { description: summary, ...content(answer) }, default: refused },
    }
  }
  const events = {
    get: {
      operationId: 'events',
      summary:
        'Changes as they happen: events `timeline`, `state`, `log` and `job`; with ?follow=overview also the answer of /overview every two seconds',
      parameters: [{ name: 'follow', in: 'query', required: false, schema: { type: 'string', enum: ['overview'] } }],
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
