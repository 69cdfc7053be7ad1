/** What the API has for those who log in, and for operators. */
import * as v from 'valibot'
import { controlRequest, controlResult, objectOf } from '../../../config/index.ts'
import { assert } from '../../base/assert.ts'
import { MatrixError } from '../../base/errors.ts'
import * as api from '../api/access.ts'
import { nothing } from '../api/jobs.ts'
import type { Endpoint } from '../endpoint.ts'
import type { Asker } from './access.ts'

/** A request of the control socket, and once more the name of what it is about. */
const actQuestion = v.strictObject({ request: controlRequest, confirm: v.string() })
/** Lines of the audit log in an answer. */
const AUDIT_LINES = 200

export const accessEndpoints: readonly Endpoint[] = [
  {
    ...{ method: 'get', path: '/session', role: 'anybody', answer: api.session },
    summary: 'Who asks, and what he may do',
    run: async ({ host }, _query, _body, _params, visit) => describe(host.self.name, visit?.asker),
  },
  {
    ...{ method: 'post', path: '/session', role: 'anybody', answer: api.session, question: api.credentials },
    summary: 'Logs in: begins a session, which its cookie is for',
    async run({ host }, _query, body, _params, visit) {
      const { name, password } = body as v.InferOutput<typeof api.credentials>
      assert(visit, 'a session is of a visitor')
      return describe(host.self.name, await visit.signIn(name, password))
    },
  },
  {
    ...{ method: 'post', path: '/session/end', role: 'anybody', answer: api.session, question: nothing },
    summary: 'Logs out',
    async run({ host }, _query, _body, _params, visit) {
      visit?.signOut()
      return describe(host.self.name, undefined)
    },
  },
  {
    ...{ method: 'post', path: '/act', role: 'operator', answer: controlResult, question: actQuestion },
    summary:
      'Has something done by the node that answers, as its control socket has it; `confirm` is the name of what it is about, once more',
    async run({ host }, _query, body, { by = '' }) {
      const { request, confirm } = body as v.InferOutput<typeof actQuestion>
      const name = objectOf(request)
      if (confirm !== name)
        throw new MatrixError(
          'query',
          `confirm: found "${confirm}"; allowed is "${name}", which ${request.command} is about`,
        )
      // who it is by is known here, whatever is said
      return { ok: true, ...(await host.order('by' in request ? { ...request, by } : request)) }
    },
  },
  {
    ...{ method: 'get', path: '/audit', role: 'operator', answer: api.audit },
    summary: 'The last actions at the node that answers: who had what done, and what came of it; the newest first',
    run: async ({ host }) => ({ node: host.self.name, lines: [...host.audit.last(AUDIT_LINES)] }),
  },
]

function describe(node: string, asker: Asker | undefined): api.SessionAnswer {
  return { node, name: asker?.name ?? null, role: asker?.role ?? null, csrf: asker?.session?.csrf ?? null }
}
