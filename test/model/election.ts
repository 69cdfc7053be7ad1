/**
 * The election of the administrator (Fig 11), with the database it reads and writes.
 *
 *   coordinator  the lowest member of a view. While its view has no administrator it tells a member that has not lately failed to
 *                try. A report of that member is answered with commit, or with undo; a report of any other with undo. Who says
 *                nothing in time has failed. Once the member confirms its commit, the others are told.
 *   candidate    takes the SAN lock (else it fails), reads the database from a majority, raises the generation, stores, reports.
 *                Commit makes it administrator; undo, a failure or a new view make it drop the lock: not before all its writes are over.
 *   administrator  changes the database; stays what it is in whatever view, while its lease is good.
 *
 * Views: any set of running nodes may agree on a new one at any moment, those left out stay in theirs. What was sent in another view is
 * dropped; a message may stay on its way for ever. The SAN lock is one atomic step (san-lock.ts shows that it may be): a term with a
 * holder, free once the holder has released it or its I/O is certainly dead.
 *
 * The database: two copies on each of one or three partitions. A record counts by (term, generation). A write goes, on
 * every partition that was read, to the copy that does not hold that partition's best record; it is stored with a majority. It may
 * land late, never, or as a torn copy, until its writer's I/O is dead.
 *
 * Invariants: at most one administrator with a lease, and it holds the lock; what a new one reads is never older than what another had
 * stored for good before, in term, generation or changes; who is announced has committed. And a matrix that heals gets an administrator.
 */
import type { Model, Step } from './search.ts'

export type ElectionRules = {
  readonly noLock?: true
  /** The lock is dropped while a write is under way. */
  readonly dropEarly?: true
  /** The lock is free once its holder's lease is over, though its I/O may land. */
  readonly leaseOnly?: true
  /** Records count by generation alone. */
  readonly noTerm?: true
  /** A write goes to the same copy every time. */
  readonly oneCopy?: true
  /** The others are told before the candidate has confirmed. */
  readonly announceEarly?: true
  /** A candidate goes on waiting for its answer in another view. */
  readonly keepCandidate?: true
  /** Stored once one of three partitions has it. */
  readonly storeOne?: true
}

export type ElectionOptions = {
  readonly name: string
  readonly nodes: number
  readonly partitions: 1 | 3
  readonly terms: number
  /** Changes that administrators make. */
  readonly changes: number
  /** New views before everything heals. */
  readonly views: number
  readonly failures: number
  /** How often a coordinator loses patience, or does not accept; how often a candidate cannot read or store. */
  readonly refusals: number
  readonly rules?: ElectionRules
}

type Phase = 'member' | 'read' | 'store' | 'reported' | 'administrator' | 'change' | 'drop'
const phases: readonly Phase[] = ['member', 'read', 'store', 'reported', 'administrator', 'change', 'drop']

/** A record of the database, as a number that orders by (term, generation); 0 is a torn copy. */
type Rec = number
const rec = (term: number, generation: number, changes: number): Rec => (term * 16 + generation) * 8 + changes
const termOf = (record: Rec) => record >> 7
const generationOf = (record: Rec) => (record >> 3) & 15
const changesOf = (record: Rec) => record & 7

type Node = {
  readonly mode: 'up' | 'ended' | 'dead'
  /** Index of its view. */
  readonly view: number
  readonly phase: Phase
  /** The best record it has read, then the last one it wrote. */
  readonly record: Rec
  readonly read: number
  readonly written: number
  /** Per partition: the write under way, as copy + 2 × record; 0 none. */
  readonly pending: readonly number[]
  /** As coordinator: whom it has told to try, -1 nobody; whether it has said commit; who failed. */
  readonly candidate: number
  readonly committing: boolean
  readonly failed: number
  /** On their way to it: orders of its coordinator; as coordinator, bits of those who report, fail, confirm. */
  readonly orders: number
  readonly reports: number
  readonly failures: number
  readonly confirmed: number
  /** Who is announced to it, -1 nobody. */
  readonly announced: number
}

const TRY = 1
const COMMIT = 2
const UNDO = 4

export type ElectionState = {
  readonly nodes: readonly Node[]
  /** The members of each view, as bits. */
  readonly views: readonly number[]
  readonly term: number
  readonly holder: number
  /** Partition by partition, copy by copy. */
  readonly copies: readonly Rec[]
  readonly failures: number
  readonly refusals: number
  readonly changes: number
  /** The highest term, generation and number of changes that were stored for good. */
  readonly stored: { readonly term: number; readonly generation: number; readonly changes: number }
  readonly broken: string | undefined
}

const actions = {
  pick: 'the coordinator tells a member to try (1706)',
  impatient: 'the coordinator waits no longer',
  lock: 'takes the SAN lock (1720)',
  noLock: 'cannot have the SAN lock (1724)',
  read: 'reads the database (1722)',
  cannotRead: 'cannot read or store (1726)',
  land: 'a write of the database lands',
  late: 'a late write of the database lands',
  torn: 'a write of the database tears',
  accept: 'the coordinator says commit (1754)',
  refuse: 'the coordinator says undo (1752)',
  heardFailure: 'the coordinator hears of a failed try',
  commit: 'is administrator (1756)',
  undo: 'is told to undo',
  drop: 'drops the SAN lock',
  announce: 'the coordinator tells the others (1758)',
  change: 'changes the database',
  view: 'a new view',
  heal: 'all running nodes are in one view',
  end: 'its lease ends',
  dies: 'its I/O is dead',
} as const

export function election(options: ElectionOptions): Model<ElectionState> {
  const { nodes: nodeCount, partitions, rules = {} } = options
  const majority = partitions === 3 && !rules.storeOne ? 2 : 1
  const enough = (bits: number) => (bits & 1) + ((bits >> 1) & 1) + (bits >> 2) >= majority
  const better = (a: Rec, b: Rec) => (rules.noTerm ? (generationOf(a) >= generationOf(b) ? a : b) : Math.max(a, b))
  const best = (state: ElectionState, p: number) => better(state.copies[2 * p], state.copies[2 * p + 1])

  const withNode = (state: ElectionState, n: number, changes: Partial<Node>): ElectionState => {
    const nodes = state.nodes.slice()
    nodes[n] = { ...nodes[n], ...changes }
    return { ...state, nodes }
  }
  const nothingPending: readonly number[] = Array(partitions).fill(0)
  const noMessages = { candidate: -1, committing: false, failed: 0, orders: 0, reports: 0, failures: 0, confirmed: 0 }
  const noWork = { phase: 'member' as Phase, record: 0, read: 0, written: 0 }

  const coordinatorOf = (state: ElectionState, n: number): number => {
    const members = state.views[state.nodes[n].view]
    return 31 - Math.clz32(members & -members)
  }
  /** Sends to the coordinator, or to a member: it arrives when both are in one view. */
  const toCoordinator = (
    state: ElectionState,
    n: number,
    kind: 'reports' | 'failures' | 'confirmed',
  ): ElectionState => {
    const to = coordinatorOf(state, n)
    if (state.nodes[to].view !== state.nodes[n].view) return state
    return withNode(state, to, { [kind]: state.nodes[to][kind] | (1 << n) })
  }
  const order = (state: ElectionState, from: number, to: number, what: number): ElectionState =>
    state.nodes[from].view === state.nodes[to].view && state.nodes[to].mode === 'up'
      ? withNode(state, to, { orders: state.nodes[to].orders | what })
      : state

  /** Writes `record` wherever it has been read and no write is under way; undefined when that is too little. */
  const write = (state: ElectionState, n: number, record: Rec, phase: Phase): ElectionState | undefined => {
    const { read } = state.nodes[n]
    const pending = state.nodes[n].pending.slice()
    let sent = 0
    for (let p = 0; p < partitions; p++) {
      if (!(read & (1 << p)) || pending[p] !== 0) continue
      const copy = rules.oneCopy || state.copies[2 * p] !== best(state, p) ? 0 : 1
      pending[p] = copy + 2 * record
      sent |= 1 << p
    }
    return enough(sent) ? withNode(state, n, { phase, record, pending, written: 0 }) : undefined
  }

  /** A majority has the write: what it says is there for good. */
  const settle = (state: ElectionState, n: number): ElectionState => {
    const { phase, written, record } = state.nodes[n]
    if ((phase !== 'store' && phase !== 'change') || !enough(written)) return state
    const stored = {
      term: Math.max(state.stored.term, termOf(record)),
      generation: Math.max(state.stored.generation, generationOf(record)),
      changes: Math.max(state.stored.changes, changesOf(record)),
    }
    const next = withNode({ ...state, stored }, n, {
      phase: phase === 'store' ? 'reported' : 'administrator',
      written: 0,
    })
    return phase === 'store' ? toCoordinator(next, n, 'reports') : next
  }

  const fail = (state: ElectionState, n: number): ElectionState =>
    toCoordinator(withNode(state, n, { ...noWork, phase: 'drop' }), n, 'failures')

  /** The database has been read from a majority: raise the generation, store. */
  const raise = (state: ElectionState, n: number): ElectionState => {
    const { record } = state.nodes[n]
    const { term: storedTerm, generation, changes } = state.stored
    let broken = state.broken
    if (termOf(record) < storedTerm)
      broken = `a record of term ${termOf(record)} is read after one of term ${storedTerm} was stored`
    if (generationOf(record) < generation)
      broken = `generation ${generationOf(record)} is read after ${generation} was stored`
    if (changesOf(record) < changes)
      broken = `a change is lost: ${changesOf(record)} are read after ${changes} were stored`
    const term = rules.noLock ? termOf(record) + 1 : state.term
    const next = write(state, n, rec(term, generationOf(record) + 1, changesOf(record)), 'store')
    return { ...(next ?? fail(state, n)), broken }
  }

  function* coordinatorSteps(state: ElectionState, n: number): Iterable<Step<ElectionState>> {
    const node = state.nodes[n]
    const members = state.views[node.view]
    const inView = (m: number) => state.nodes[m].view === node.view && state.nodes[m].mode === 'up'
    const where = `node ${n}`
    const { candidate, committing, failed, reports, failures, confirmed } = node
    const administrator = state.nodes.some(({ phase }, m) => inView(m) && isAdministrator(phase))
    if (candidate < 0 && !administrator && state.term < options.terms) {
      const open = members & ~failed ? members & ~failed : members
      const picked = 31 - Math.clz32(open & -open)
      const asked = withNode(state, n, { candidate: picked, committing: false, failed: open === members ? 0 : failed })
      yield { action: actions.pick, where: `node ${picked}`, state: order(asked, n, picked, TRY) }
    }
    const refusal = { ...state, refusals: state.refusals + 1 }
    const passOver = { candidate: -1, committing: false, failed: failed | (1 << candidate) }
    if (candidate >= 0 && !committing && state.refusals < options.refusals) {
      yield { action: actions.impatient, where, state: withNode(refusal, n, passOver) }
    }
    for (let m = 0; m < nodeCount; m++) {
      const bit = 1 << m
      const from = `node ${m}`
      if (reports & bit) {
        const heard = { reports: reports & ~bit }
        if (m !== candidate || committing) {
          yield { action: actions.refuse, where: from, state: order(withNode(state, n, heard), n, m, UNDO) }
        } else {
          const accepted = order(withNode(state, n, { ...heard, committing: true }), n, m, COMMIT)
          yield {
            action: actions.accept,
            where: from,
            state: rules.announceEarly ? announce(accepted, n, m) : accepted,
          }
          if (state.refusals < options.refusals) {
            const undone = order(withNode(refusal, n, { ...heard, ...passOver }), n, m, UNDO)
            yield { action: actions.refuse, where: from, state: undone }
          }
        }
      }
      if (failures & bit) {
        const heard = { failures: failures & ~bit, ...(m === candidate && !committing ? passOver : {}) }
        yield { action: actions.heardFailure, where: from, state: withNode(state, n, heard) }
      }
      if (confirmed & bit) {
        const heard = withNode(state, n, { confirmed: confirmed & ~bit })
        yield { action: actions.announce, where: from, state: announce(heard, n, m) }
      }
    }
  }

  const announce = (state: ElectionState, from: number, administrator: number): ElectionState => {
    const { phase, mode } = state.nodes[administrator]
    const committed = mode !== 'up' || isAdministrator(phase)
    const { view } = state.nodes[from]
    return {
      ...state,
      nodes: state.nodes.map((node) =>
        node.view === view && node.mode === 'up' ? { ...node, announced: administrator } : node,
      ),
      broken: committed ? state.broken : `node ${administrator} is announced and has not committed`,
    }
  }

  function* candidateSteps(state: ElectionState, n: number): Iterable<Step<ElectionState>> {
    const { phase, orders, record, read, pending } = state.nodes[n]
    const where = `node ${n}`
    const obeyed = (what: number) => withNode(state, n, { orders: orders & ~what })
    if (orders & TRY && phase === 'member') {
      const told = obeyed(TRY)
      if (state.holder < 0 || rules.noLock) {
        const locked = withNode({ ...told, term: state.term + 1, holder: n }, n, { phase: 'read', record: 0, read: 0 })
        yield { action: actions.lock, where, state: locked }
      } else yield { action: actions.noLock, where, state: toCoordinator(told, n, 'failures') }
    } else if (orders & TRY) {
      yield { action: actions.noLock, where, state: toCoordinator(obeyed(TRY), n, 'failures') }
    }
    if (phase === 'read') {
      for (let p = 0; p < partitions; p++) {
        if (read & (1 << p)) continue
        const seen = withNode(state, n, { read: read | (1 << p), record: better(record, best(state, p)) })
        const next = enough(read | (1 << p)) ? raise(seen, n) : seen
        yield { action: actions.read, where: `${where}, partition ${p}`, state: next }
      }
    }
    if ((phase === 'read' || phase === 'store') && state.refusals < options.refusals) {
      yield { action: actions.cannotRead, where, state: fail({ ...state, refusals: state.refusals + 1 }, n) }
    }
    if (orders & COMMIT) {
      // an order of the view it still is in; who has dropped its try since then says nothing
      const next = obeyed(COMMIT)
      if (phase === 'reported') {
        const committed = toCoordinator(withNode(next, n, { phase: 'administrator' }), n, 'confirmed')
        yield { action: actions.commit, where, state: committed }
      }
    }
    if (orders & UNDO) {
      const next = obeyed(UNDO)
      yield {
        action: actions.undo,
        where,
        state: phase === 'reported' ? withNode(next, n, { ...noWork, phase: 'drop' }) : next,
      }
    }
    if (phase === 'drop' && (rules.dropEarly || pending.every((one) => one === 0))) {
      const holder = state.holder === n ? -1 : state.holder
      yield { action: actions.drop, where, state: withNode({ ...state, holder }, n, noWork) }
    }
    if (phase === 'administrator' && state.changes < options.changes) {
      const all = withNode({ ...state, changes: state.changes + 1 }, n, { read: (1 << partitions) - 1 })
      const next = write(all, n, rec(termOf(record), generationOf(record) + 1, changesOf(record) + 1), 'change')
      if (next) yield { action: actions.change, where, state: next }
    }
  }

  function* nodeSteps(state: ElectionState, n: number): Iterable<Step<ElectionState>> {
    const { mode, pending, record, written } = state.nodes[n]
    const where = `node ${n}`
    for (let p = 0; p < partitions; p++) {
      const write = pending[p]
      if (write === 0) continue
      const at = 2 * p + (write & 1)
      const late = replaced(pending, p, 0)
      const place = `${where}, partition ${p}`
      const landed = { ...withNode(state, n, { pending: late }), copies: replaced(state.copies, at, write >> 1) }
      if (mode === 'up') {
        const acknowledged = write >> 1 === record ? written | (1 << p) : written
        yield { action: actions.land, where: place, state: settle(withNode(landed, n, { written: acknowledged }), n) }
      } else {
        yield { action: actions.late, where: place, state: landed }
        yield { action: actions.torn, where: place, state: { ...landed, copies: replaced(state.copies, at, 0) } }
      }
    }
    if (mode === 'ended') {
      const dead = withNode(state, n, { mode: 'dead', pending: nothingPending })
      yield { action: actions.dies, where, state: { ...dead, holder: state.holder === n ? -1 : state.holder } }
    }
    if (mode !== 'up') return
    if (state.failures < options.failures) {
      const ended = withNode({ ...state, failures: state.failures + 1 }, n, {
        ...noWork,
        ...noMessages,
        mode: 'ended',
        announced: -1,
      })
      const holder = rules.leaseOnly && state.holder === n ? -1 : state.holder
      yield { action: actions.end, where, state: { ...ended, holder } }
    }
    yield* candidateSteps(state, n)
    if (coordinatorOf(state, n) === n) yield* coordinatorSteps(state, n)
  }

  /** The nodes of `members` go over to a new view; who was about to become administrator gives up. */
  const install = (state: ElectionState, members: number): ElectionState => {
    const view = state.views.length
    // they tell each other what they are
    const announced = state.nodes.findIndex(
      ({ phase, mode }, n) => members & (1 << n) && mode === 'up' && isAdministrator(phase),
    )
    const nodes = state.nodes.map((node, n) => {
      if (!(members & (1 << n))) return node
      const moved = { ...node, ...noMessages, view, announced }
      const trying = node.phase === 'read' || node.phase === 'store' || node.phase === 'reported'
      return trying && !rules.keepCandidate ? { ...moved, ...noWork, phase: 'drop' as const } : moved
    })
    return { ...state, nodes, views: [...state.views, members] }
  }

  function* next(state: ElectionState): Iterable<Step<ElectionState>> {
    for (let n = 0; n < nodeCount; n++) yield* nodeSteps(state, n)
    const up = state.nodes.reduce((bits, { mode }, n) => (mode === 'up' ? bits | (1 << n) : bits), 0)
    if (state.views.length <= options.views) {
      for (let members = 1; members <= up; members++) {
        if ((members & up) === members)
          yield { action: actions.view, where: names(members), state: install(state, members) }
      }
    } else if (up !== 0 && state.nodes.some(({ mode, view }) => mode === 'up' && state.views[view] !== up)) {
      yield { action: actions.heal, where: names(up), state: install(state, up) }
    }
  }

  const violation = (state: ElectionState): string | undefined => {
    const administrators = state.nodes.flatMap(({ mode, phase }, n) =>
      mode === 'up' && isAdministrator(phase) ? [n] : [],
    )
    if (administrators.length > 1) return 'two administrators'
    if (administrators.some((n) => state.holder !== n)) return 'an administrator without the lock'
    return state.broken
  }

  const encode = (state: ElectionState): string => {
    const codes: number[] = []
    for (const node of state.nodes) {
      const mode = node.mode === 'up' ? 0 : node.mode === 'ended' ? 1 : 2
      codes.push((mode * 8 + phases.indexOf(node.phase)) * 16 + node.view, node.record, node.read * 8 + node.written)
      codes.push(...node.pending, (node.candidate + 1) * 2 + Number(node.committing), node.failed * 8 + node.orders)
      codes.push((node.reports * 16 + node.failures) * 16 + node.confirmed, node.announced + 1)
    }
    codes.push(...state.copies, state.term * 8 + state.holder + 1, state.failures * 16 + state.refusals, state.changes)
    codes.push(
      (state.stored.term * 16 + state.stored.generation) * 16 + state.stored.changes,
      state.broken ? 1 : 0,
      ...state.views,
    )
    return String.fromCharCode(...codes)
  }

  const showRec = (record: Rec) =>
    record === 0 ? 'torn' : `${termOf(record)}/${generationOf(record)}+${changesOf(record)}`
  const describe = (state: ElectionState): string =>
    [
      `lock ${state.term} of ${state.holder < 0 ? 'nobody' : state.holder}; copies ${state.copies.map(showRec).join(' ')}`,
      ...state.nodes.map((node, n) => {
        const pending = node.pending.map((one) => (one === 0 ? '-' : `${showRec(one >> 1)}→${one & 1}`)).join(' ')
        return `node ${n} ${node.mode} ${node.phase} view ${node.view} {${names(state.views[node.view])}} writes ${pending}`
      }),
    ].join('; ')

  return {
    name: options.name,
    actions: Object.values(actions),
    initial: () => [
      {
        nodes: Array(nodeCount).fill({
          mode: 'up',
          view: 0,
          ...noWork,
          pending: nothingPending,
          ...noMessages,
          announced: -1,
        }),
        views: [(1 << nodeCount) - 1],
        term: 0,
        holder: -1,
        copies: Array.from({ length: 2 * partitions }, (_, i) => (i % 2 === 0 ? rec(0, 1, 0) : 0)),
        failures: 0,
        refusals: 0,
        changes: 0,
        stored: { term: 0, generation: 1, changes: 0 },
        broken: undefined,
      },
    ],
    next,
    encode,
    violation,
    final: () => true,
    /** There is an administrator, and all of its view know it; or no term is left, or nobody runs. */
    goal: ({ nodes, term }) => {
      const knownToAll = ({ phase, view }: Node, n: number) =>
        phase === 'administrator' &&
        nodes.every((other) => other.mode !== 'up' || other.view !== view || other.announced === n)
      const up = nodes.map((node) => node.mode === 'up')
      return term >= options.terms || nodes.some((node, n) => up[n] && knownToAll(node, n)) || !up.includes(true)
    },
    describe,
  }
}

const isAdministrator = (phase: Phase): boolean => phase === 'administrator' || phase === 'change'

const names = (members: number): string => [0, 1, 2, 3].filter((n) => members & (1 << n)).join(' ')

function replaced<T>(items: readonly T[], index: number, item: T): T[] {
  const copy = items.slice()
  copy[index] = item
  return copy
}
