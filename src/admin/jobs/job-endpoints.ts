/** What the API answers about jobs: part of the table in endpoints.ts, which says what an endpoint is. */
import type * as v from 'valibot'
import * as api from '../api/jobs.ts'
import type { Jobs } from './jobs.ts'

type Desk = { readonly jobs: Jobs }
type Params = Readonly<Record<string, string>>

export const jobEndpoints = [
  {
    ...{ method: 'get' as const, path: '/jobs', answer: api.jobs },
    summary:
      'The kinds of jobs with the JSON schemas of their inputs; jobs that are under way, and those that have ended lately',
    run: ({ jobs }: Desk) => jobs.list(),
  },
  {
    ...{ method: 'get' as const, path: '/jobs/:kind/:id', answer: api.jobWithLog },
    summary: 'One job with its log',
    run: ({ jobs }: Desk, _query: URLSearchParams, _body: unknown, { kind = '', id = '' }: Params) =>
      jobs.ask({ ask: 'show', kind, id }),
  },
  {
    ...{
      method: 'post' as const,
      path: '/jobs',
      role: 'operator' as const,
      answer: api.jobAnswer,
      question: api.jobQuestion,
    },
    summary: 'Starts a job; refused while one of its kind about the same is under way',
    run: ({ jobs }: Desk, _query: URLSearchParams, body: unknown, { by = '' }: Params) => {
      const { kind, input } = body as v.InferOutput<typeof api.jobQuestion>
      return jobs.ask({ ask: 'start', kind, input, by })
    },
  },
  {
    ...{ method: 'post' as const, path: '/jobs/:kind/:id/cancel', role: 'operator' as const },
    ...{ answer: api.jobAnswer, question: api.nothing },
    summary: 'Ends a job within a second or so; what it has done stays done',
    run: ({ jobs }: Desk, _query: URLSearchParams, _body: unknown, { kind = '', id = '', by = '' }: Params) =>
      jobs.ask({ ask: 'cancel', kind, id, by }),
  },
  {
    ...{ method: 'post' as const, path: '/jobs/:kind/:id/retry', role: 'operator' as const },
    ...{ answer: api.jobAnswer, question: api.nothing },
    summary: 'Starts a job like one that has failed, or was cancelled',
    run: ({ jobs }: Desk, _query: URLSearchParams, _body: unknown, { kind = '', id = '', by = '' }: Params) =>
      jobs.ask({ ask: 'retry', kind, id, by }),
  },
]
