/** What the API answers about jobs. */
import type * as v from 'valibot'
import * as api from '../api/jobs.ts'
import type { Endpoint } from '../endpoints.ts'

export const jobEndpoints: readonly Endpoint[] = [
  {
    ...{ method: 'get', path: '/jobs', answer: api.jobs },
    summary:
      'The kinds of jobs with the JSON schemas of their inputs; jobs that are under way, and those that have ended lately',
    run: ({ jobs }) => jobs.list(),
  },
  {
    ...{ method: 'get', path: '/jobs/:kind/:id', answer: api.jobWithLog },
    summary: 'One job with its log',
    run: ({ jobs }, _query, _body, { kind = '', id = '' }) => jobs.ask({ ask: 'show', kind, id }),
  },
  {
    ...{ method: 'post', path: '/jobs', role: 'operator', answer: api.jobAnswer, question: api.jobQuestion },
    summary: 'Starts a job; refused while one of its kind about the same is under way',
    run: ({ jobs }, _query, body, { by = '' }) => {
      const { kind, input } = body as v.InferOutput<typeof api.jobQuestion>
      return jobs.ask({ ask: 'start', kind, input, by })
    },
  },
  {
    ...{ method: 'post', path: '/jobs/:kind/:id/cancel', role: 'operator' },
    ...{ answer: api.jobAnswer, question: api.nothing },
    summary: 'Ends a job within a second or so; what it has done stays done',
    run: ({ jobs }, _query, _body, { kind = '', id = '', by = '' }) => jobs.ask({ ask: 'cancel', kind, id, by }),
  },
  {
    ...{ method: 'post', path: '/jobs/:kind/:id/retry', role: 'operator' },
    ...{ answer: api.jobAnswer, question: api.nothing },
    summary: 'Starts a job like one that has failed, or was cancelled',
    run: ({ jobs }, _query, _body, { kind = '', id = '', by = '' }) => jobs.ask({ ask: 'retry', kind, id, by }),
  },
]
