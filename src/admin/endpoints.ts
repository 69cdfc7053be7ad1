/** What the API answers: one table for the router and for the published description. */
import type * as v from 'valibot'
import { type ControlRequest, controlRequest, controlResult, lookingRequests } from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import { accessEndpoints } from './access/access-endpoints.ts'
import { answerFilesystems } from './answers/filesystems-answer.ts'
import { answerLocks } from './answers/locks-answer.ts'
import { answerLuns } from './answers/luns-answer.ts'
import { answerMatrix, nodeAnswer } from './answers/matrix-answer.ts'
import { answerOverview } from './answers/overview-answer.ts'
import { answerReplications } from './answers/replications-answer.ts'
import { answerSamples } from './answers/samples-answer.ts'
import { answerServices } from './answers/services-answer.ts'
import { answerWaits } from './answers/waits-answer.ts'
import * as api from './api/answers.ts'
import { overview } from './api/overview.ts'
import type { Endpoint } from './endpoint.ts'
import { jobEndpoints } from './jobs/job-endpoints.ts'
import { runSql } from './sql.ts'

export const endpoints: readonly Endpoint[] = [
  {
    ...{ method: 'get', path: '/matrix', answer: api.matrix },
    summary: 'The matrix: its nodes with what each says of itself, view, administrator, SAN generation, leases',
    run: ({ host, collector }) => answerMatrix(host, collector),
  },
  {
    ...{ method: 'get', path: '/overview', answer: overview },
    summary: 'All that the dashboard shows: what the following have to say, null for what cannot be had just now',
    run: answerOverview,
  },
  {
    ...{ method: 'get', path: '/luns', answer: api.luns },
    summary: 'The LUNs: size, use, and how every node sees each',
    run: ({ collector }) => answerLuns(collector),
  },
  {
    ...{ method: 'get', path: '/filesystems', answer: api.filesystems },
    summary:
      'The filesystems: space, state at every node, journals and how far each node has applied them, checkpoints',
    run: ({ collector }) => answerFilesystems(collector),
  },
  {
    ...{ method: 'get', path: '/locks', answer: api.locks },
    summary: 'Locks that somebody waits for, the hottest, and others: path, mode, holders, waiters with ages',
    run: ({ host, collector, names }) => answerLocks(host, collector, names),
  },
  {
    ...{ method: 'get', path: '/waits', answer: api.waits },
    summary: 'What everybody waits for, the longest first',
    async run({ host, collector, names }) {
      const [matrix, locks, luns] = await Promise.all([
        answerMatrix(host, collector),
        answerLocks(host, collector, names),
        answerLuns(collector).catch((error: Error) => error),
      ])
      return answerWaits(matrix, locks, luns)
    },
  },
  {
    ...{ method: 'get', path: '/exports', answer: api.exportsAnswer },
    summary: 'What each node serves: exports, gateways with their connections and calls, local mounts',
    async run({ collector }) {
      const nodes = (await collector.reports()).map((answer) => {
        const { nfs = null, http = null, exports = [], mounts = [] } = answer.value ?? {}
        return { ...nodeAnswer(answer), nfs, http, exports, mounts }
      })
      return { nodes }
    },
  },
  {
    ...{ method: 'get', path: '/services', answer: api.services },
    summary: 'Virtual hosts and where they are; services, applications, devices and mounts as every node finds them',
    run: ({ collector }) => answerServices(collector),
  },
  {
    ...{ method: 'get', path: '/replications', answer: api.replicationsAnswer },
    summary: 'What is copied again and again, which node runs it, and what became of the last run there',
    run: async ({ collector }) => ({ replications: await answerReplications(collector) }),
  },
  {
    ...{ method: 'get', path: '/timeline', answer: api.timeline },
    summary: 'Changes of membership step by step, and what became of LUNs, as the node that answers knows of them',
    run: async ({ host }) => ({ entries: host.timeline() }),
  },
  {
    ...{ method: 'get', path: '/samples', answer: api.samplesAnswer },
    summary: 'What each node has done in the last quarter of an hour; with ?since=MS only later samples',
    async run({ collector }, query) {
      const since = Number(query.get('since') ?? 0)
      if (!Number.isFinite(since))
        throw new MatrixError('query', `since: found "${query.get('since')}"; allowed is a number of ms`)
      return answerSamples(collector, since)
    },
  },
  {
    ...{ method: 'get', path: '/log', answer: api.logAnswer },
    summary: 'The last warnings and errors of the node that answers',
    run: async ({ host }) => ({ node: host.self.name, lines: host.logTail.lines }),
  },
  {
    ...{ method: 'post', path: '/sql', answer: api.sqlAnswer, question: api.sqlQuestion },
    summary: 'Rows of one SELECT on the metadata image of the node that answers; read-only, limited in time and rows',
    run: ({ host, reader }, _query, body) => runSql(host, reader, body as v.InferOutput<typeof api.sqlQuestion>),
  },
  ...jobEndpoints,
  ...accessEndpoints,
  {
    ...{ method: 'post', path: '/ask', answer: controlResult, question: controlRequest },
    summary:
      'What `matrix --node` asks: a request of the control socket of the node that answers, one that changes nothing',
    async run({ host }, _query, body) {
      const request = body as ControlRequest
      if (lookingRequests.includes(request.command)) return { ok: true, ...(await host.order(request)) }
      throw new MatrixError(
        'query',
        `${request.command} changes something: operators ask for it at /act; asked here may be ${lookingRequests.join(', ')}`,
      )
    },
  },
]
