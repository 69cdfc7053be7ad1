/** What is everybody waiting for? Everything that keeps somebody from going on, from all that is known of the matrix, in words. */
import { isMatrixError } from '../../base/errors.ts'
import type { Locks, Luns, Matrix, Waits } from '../api/answers.ts'

type Wait = Waits['waits'][number]

/** A lease that has stood still for so long is told of, ms: it is renewed several times within. */
const STILL_MS = 5_000
/** A filesystem's states that are none of waiting. */
const AT_REST = new Set(['serving', 'withdrawn'])

export function answerWaits(matrix: Matrix, locks: Locks, luns: Luns | Error): Waits {
  const all = [...waitsForLocks(locks), ...waitsOfNodes(matrix), ...waitsForLuns(luns)]
  return { waits: all.sort((a, b) => (b.forMs ?? 0) - (a.forMs ?? 0)) }
}

function waitsForLocks({ locks }: Locks): Wait[] {
  return locks.flatMap((lock) =>
    lock.waiters.map((waiter): Wait => {
      // a node that raises its own mode holds the lock itself
      const on = lock.holders.filter(({ node }) => node !== waiter.node)
      const what = lock.path === null ? `${lock.name} (${lock.meaning})` : `${lock.filesystem}:${lock.path}`
      const holders = on.map(({ node, mode, absent }) => `${node} (${mode}${absent ? ', which has left' : ''})`)
      const until = waiter.parked
        ? 'until recovery is over'
        : holders.length > 0
          ? `held by ${holders.join(', ')}`
          : `in line at its master ${lock.master}`
      return {
        ...{ kind: 'lock', who: waiter.node, on: on.map(({ node }) => node), path: lock.path, forMs: waiter.ageMs },
        what: `${waiter.node} wants ${what} in mode ${waiter.mode}, ${until}`,
      }
    }),
  )
}

function waitsOfNodes({ nodes, administrator }: Matrix): Wait[] {
  const recovered = nodes.every(({ report }) => report?.filesystems.every(({ state }) => AT_REST.has(state)) ?? true)
  return nodes.flatMap(({ node, answered, error, state, lease, report }): Wait[] => {
    const found: Wait[] = []
    const add = (kind: Wait['kind'], what: string, on: readonly string[] = [], forMs: number | null = null): void => {
      found.push({ kind, who: node, on: [...on], what, path: null, forMs })
    }
    // once it is fenced and its journal is read, nobody waits for it any more
    if (state === 'silent' && lease && !recovered)
      add(
        'node',
        `${node} is not in the view, and its lease is not given back: it is waited for, or fenced`,
        [node],
        lease.stillMs,
      )
    if (state === 'member' && !answered) add('node', `${node} does not answer: ${error}`, [node])
    if (state === 'member' && lease && lease.stillMs > STILL_MS)
      add('node', `${node} has not renewed its lease`, [node], lease.stillMs)
    if (!report) return found
    if (report.phase !== 'member')
      add('view', `${node} is ${report.phase}: it waits for the next view`, missingLinks(report.links))
    for (const { name, state: at } of report.filesystems) {
      if (AT_REST.has(at)) continue
      const by = administrator ? [administrator.node] : []
      const what = at === 'reopened' ? 'serves what no lost node held; the rest waits for the fence' : `is ${at}`
      add('recovery', `${name} at ${node} ${what}${administrator ? '' : '; there is no administrator'}`, by)
    }
    return found
  })
}

function missingLinks(links: readonly { readonly name: string; readonly linked: boolean }[]): string[] {
  return links.filter(({ linked }) => !linked).map(({ name }) => name)
}

function waitsForLuns(luns: Luns | Error): Wait[] {
  if (luns instanceof Error) {
    const what = `the membership database cannot be read: ${luns.message}`
    return isMatrixError(luns) ? [{ kind: 'lun', who: 'all nodes', on: [], what, path: null, forMs: null }] : []
  }
  return luns.luns.flatMap(({ name, sights }) =>
    sights
      .filter(({ answered, state }) => answered && state !== 'up')
      .map(({ node, state, reason }): Wait => {
        const what = `LUN ${name} is ${state} at ${node}${reason === null ? '' : `: ${reason}`}`
        return { kind: 'lun', who: node, on: [name], what, path: null, forMs: null }
      }),
  )
}
