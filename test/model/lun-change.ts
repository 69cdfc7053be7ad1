/**
 * Adding and removing one LUN (Fig 12), with a crash between any two steps. The decisions stand in
 * docs/decisions/0008-lun-change-crash-points.md.
 *
 *   decide    1602: the administrator writes `pending {kind, generation}` into the database; the list stays as it was.
 *   announce  1604, 1606: every member is told kind and generation. It opens the LUN, or refuses an add; or ends its I/O, closes the LUN.
 *   finish    1608: all members have acknowledged this generation, and every node that left is fenced: list and generation are written.
 *   tell      1610: the requester is told.
 *
 * A refused add is undone by turning it into a removal, on disk and with a generation of its own, which goes the same way. A new
 * administrator that finds `pending` raises its generation and goes on at `announce`: so whatever is pending is finished.
 * A node that is imported while a change is pending takes part in it: its generation is raised, and all are told anew.
 *
 * Every write raises the generation of the database, so that copies can be ordered; `pending` then has the next one. A write above a
 * `pending` jumps over its generation: that one stands for the list that members may have been told of.
 *
 * The administrator itself is a member. It dies for certain (its write under way has landed or never will) before there is another:
 * that is what the SAN lock gives. A member that fails may run on, and use its LUNs, until it is fenced.
 *
 * Invariants: after "complete" the database and every member agree, and no node has I/O on a removed LUN; when nothing is
 * pending and nothing under way every member's list is the database's; one generation never stands for two lists; what members are told
 * is on the disk. And every change ends.
 */
import type { Model, Step } from './search.ts'

export type LunChangeRules = {
  /** Nodes that left are not waited for. */
  readonly noFence?: true
  /** A removal is acknowledged while I/O is under way. */
  readonly ackBeforeDrained?: true
  /** The requester is told before the database is written. */
  readonly tellEarly?: true
  /** The final state is written without acknowledgements. */
  readonly noAcks?: true
  /** A new administrator drops what is pending. */
  readonly dropPending?: true
  /** The undoing of an add goes under the generation of the add. */
  readonly undoKeepsGeneration?: true
  /** The undoing of an add is not written before it is announced. */
  readonly undoInMemory?: true
  /** Nodes are imported while a change is pending. */
  readonly importDuring?: true
  /** A new administrator starts while a write of the former one may land. */
  readonly lateWrite?: true
}

export type LunChangeOptions = {
  readonly name: string
  readonly nodes: number
  readonly requests: number
  readonly failures: number
  readonly restarts: number
  readonly rules?: LunChangeRules
}

type Kind = 'add' | 'remove'
type Pending = { readonly kind: Kind; readonly generation: number }
type Database = { readonly generation: number; readonly listed: boolean; readonly pending?: Pending }

type Node = {
  /** `cut`: failed for the others, may still run. `dead`: fenced or gone, all its I/O over. */
  readonly mode: 'member' | 'cut' | 'dead'
  readonly reaches: boolean
  readonly has: boolean
  readonly busy: boolean
  /** What it has been told and not yet dealt with. */
  readonly told?: Pending
  readonly answer?: { readonly generation: number; readonly ok: boolean }
}

type Administrator = {
  readonly node: number
  readonly phase: 'idle' | 'raise' | 'decide' | 'announce' | 'finish' | 'tell'
  /** What is under way, from `decide` on. */
  readonly change?: Pending
}

export type LunChangeState = {
  readonly database: Database
  /** A write of the database under way, and whose. */
  readonly writing?: Database
  readonly nodes: readonly Node[]
  readonly administrator?: Administrator
  /** What was asked for and not answered. */
  readonly asked?: Kind
  readonly requests: number
  readonly failures: number
  readonly restarts: number
  /** What the requester was last told, while nobody has begun another change. */
  readonly settled?: 'in' | 'out'
  /** Per generation that was ever announced or written: whether the LUN is in the list. */
  readonly lists: readonly (boolean | undefined)[]
  readonly broken?: string
}

const actions = {
  ask: 'a change is asked for',
  forget: 'the requester goes',
  already: 'nothing to do: the requester is told',
  decide: 'the change is being written as pending (1602)',
  written: 'a write of the database lands',
  receive: 'learns of the change (1606)',
  refuse: 'refuses the LUN',
  undo: 'the add is being turned into a removal',
  finish: 'all have acknowledged: the final list is being written (1608)',
  tell: 'the requester is told (1610)',
  io: 'starts I/O on the LUN',
  ioEnds: 'its I/O ends',
  fail: 'fails',
  dies: 'is fenced',
  diesWriting: 'is dead, and its last write never lands',
  takeOver: 'becomes administrator',
  restart: 'is imported',
  join: 'is imported while a change is pending, which is announced anew',
  alone: 'starts alone',
} as const

export function lunChange(options: LunChangeOptions): Model<LunChangeState> {
  const { rules = {} } = options

  const withNode = (state: LunChangeState, n: number, changes: Partial<Node>): LunChangeState => {
    const nodes = state.nodes.slice()
    nodes[n] = { ...nodes[n], ...changes }
    return { ...state, nodes }
  }

  const listed = (state: LunChangeState, { kind, generation }: Pending): LunChangeState => {
    const has = kind === 'add'
    const lists = state.lists.slice()
    const broken = lists[generation] === !has ? `generation ${generation} stands for two lists` : state.broken
    lists[generation] = has
    return { ...state, lists, broken }
  }

  const announce = (state: LunChangeState, administrator: Administrator, change: Pending): LunChangeState => ({
    ...listed(state, change),
    administrator: { ...administrator, phase: 'announce', change },
    nodes: state.nodes.map((node) => (node.mode === 'member' ? { ...node, told: change } : node)),
  })

  /** What the administrator does once its write is on disk. */
  const landed = (state: LunChangeState): LunChangeState => {
    const next = { ...state, database: state.writing as Database, writing: undefined }
    const administrator = state.administrator
    if (!administrator || state.nodes[administrator.node].mode !== 'member') return next
    const { phase, change } = administrator
    if (phase === 'decide') return announce(next, administrator, change as Pending)
    const after = phase === 'finish' && !rules.tellEarly ? 'tell' : 'idle'
    return { ...next, administrator: { node: administrator.node, phase: after } }
  }

  const write = (state: LunChangeState, writing: Database, administrator: Administrator): LunChangeState => ({
    ...state,
    writing,
    administrator,
  })

  /** Above all that was written or announced. */
  const nextGeneration = ({ generation, pending }: Database): number =>
    Math.max(generation, pending?.generation ?? 0) + 1

  const decide = (state: LunChangeState, node: number, kind: Kind, announced?: number): LunChangeState => {
    const { listed: list } = state.database
    const generation = nextGeneration(state.database)
    const change: Pending = { kind, generation: announced ?? generation + 1 }
    const next = listed({ ...state, settled: undefined }, { kind: list ? 'add' : 'remove', generation })
    return write(next, { generation, listed: list, pending: change }, { node, phase: 'decide', change })
  }

  function* administratorSteps(state: LunChangeState, administrator: Administrator): Iterable<Step<LunChangeState>> {
    const { node, phase, change } = administrator
    const { database, asked } = state
    const where = `node ${node}`
    if (phase === 'idle' && asked) {
      if (database.listed === (asked === 'add')) yield { action: actions.already, where, state: told(state) }
      else {
        yield { action: actions.decide, where, state: decide(state, node, asked) }
      }
    }
    if (phase === 'tell') {
      yield { action: actions.tell, where, state: { ...told(state), administrator: { node, phase: 'idle' } } }
    }
    if (phase === 'announce' && change) {
      const answers = state.nodes.filter(({ mode }) => mode === 'member').map(({ answer }) => answer)
      const unfenced = !rules.noFence && state.nodes.some(({ mode }) => mode === 'cut')
      if (change.kind === 'add' && answers.some((answer) => answer?.generation === change.generation && !answer.ok)) {
        const next = rules.undoInMemory
          ? announce(state, administrator, { kind: 'remove', generation: change.generation + 1 })
          : decide(state, node, 'remove', rules.undoKeepsGeneration ? change.generation : undefined)
        yield { action: actions.undo, where, state: next }
      } else if (
        !unfenced &&
        (rules.noAcks || answers.every((answer) => answer?.generation === change.generation && answer.ok))
      ) {
        const final = { generation: change.generation, listed: change.kind === 'add' }
        const next = write(state, final, { node, phase: 'finish', change })
        yield { action: actions.finish, where, state: rules.tellEarly ? told(next, final.listed) : next }
      }
    }
  }

  /** The requester is told how the list is now; what it asked for may have been undone. */
  const told = (state: LunChangeState, has = state.database.listed): LunChangeState =>
    state.asked ? { ...state, asked: undefined, settled: has ? 'in' : 'out' } : state

  function* nodeSteps(state: LunChangeState, n: number): Iterable<Step<LunChangeState>> {
    const node = state.nodes[n]
    const where = `node ${n}`
    const { mode, has, busy, reaches } = node
    const leads = state.administrator?.node === n
    if (mode !== 'dead' && has && !busy) yield { action: actions.io, where, state: withNode(state, n, { busy: true }) }
    if (mode !== 'dead' && busy) yield { action: actions.ioEnds, where, state: withNode(state, n, { busy: false }) }
    if (mode === 'member' && node.told) {
      const { kind, generation } = node.told
      const answered = (ok: boolean, list: boolean) =>
        withNode(state, n, { has: list, told: undefined, answer: { generation, ok } })
      if (kind === 'remove') {
        if (!busy || rules.ackBeforeDrained) yield { action: actions.receive, where, state: answered(true, false) }
      } else if (reaches) yield { action: actions.receive, where, state: answered(true, true) }
      else yield { action: actions.refuse, where, state: answered(false, has) }
    }
    if (mode === 'member' && state.failures < options.failures) {
      const failed = withNode({ ...state, failures: state.failures + 1 }, n, {
        mode: 'cut',
        told: undefined,
        answer: undefined,
      })
      const next = leads && rules.lateWrite ? { ...failed, administrator: undefined } : failed
      yield { action: actions.fail, where, state: next }
    }
    if (mode === 'cut') {
      const dead = withNode(state, n, { mode: 'dead', has: false, busy: false })
      const next = leads ? { ...dead, administrator: undefined } : dead
      if (!leads || !state.writing) yield { action: actions.dies, where, state: next }
      else yield { action: actions.diesWriting, where, state: { ...next, writing: undefined } }
    }
    if (mode === 'member' && !state.administrator && (!state.writing || rules.lateWrite)) {
      yield { action: actions.takeOver, where, state: takeOver(state, n) }
    }
    if (mode === 'dead' && state.restarts < options.restarts) yield* startSteps(state, n)
  }

  const takeOver = (state: LunChangeState, n: number): LunChangeState => {
    const { listed: list, pending } = state.database
    if (pending && !rules.dropPending) return decide(state, n, pending.kind)
    const raised = nextGeneration(state.database)
    return write(
      listed(state, { kind: list ? 'add' : 'remove', generation: raised }),
      { generation: raised, listed: list },
      { node: n, phase: 'raise' },
    )
  }

  function* startSteps(state: LunChangeState, n: number): Iterable<Step<LunChangeState>> {
    const { database, administrator } = state
    if (database.listed && !state.nodes[n].reaches) return
    const started = withNode({ ...state, restarts: state.restarts + 1 }, n, { mode: 'member', has: database.listed })
    const where = `node ${n}`
    if (!administrator) {
      const alone = state.nodes.every(({ mode }) => mode === 'dead')
      if (alone) yield { action: actions.alone, where, state: started }
    } else if (state.nodes[administrator.node].mode === 'member') {
      const { phase } = administrator
      if (phase === 'idle' || phase === 'tell') yield { action: actions.restart, where, state: started }
      else if (phase === 'announce' && administrator.change && !rules.importDuring) {
        yield { action: actions.join, where, state: decide(started, administrator.node, administrator.change.kind) }
      } else if (rules.importDuring && phase !== 'raise') {
        // told the list of the database, and counted as one that has acknowledged it
        const answer = administrator.change && { generation: administrator.change.generation, ok: true }
        yield { action: actions.restart, where, state: withNode(started, n, { answer }) }
      }
    }
  }

  function* next(state: LunChangeState): Iterable<Step<LunChangeState>> {
    if (state.requests < options.requests && !state.asked) {
      for (const asked of ['add', 'remove'] as const) {
        yield { action: actions.ask, where: asked, state: { ...state, asked, requests: state.requests + 1 } }
      }
    }
    if (state.asked) yield { action: actions.forget, where: '', state: { ...state, asked: undefined } }
    if (state.writing) yield { action: actions.written, where: '', state: landed(state) }
    const { administrator } = state
    if (administrator && state.nodes[administrator.node].mode === 'member')
      yield* administratorSteps(state, administrator)
    for (let n = 0; n < options.nodes; n++) yield* nodeSteps(state, n)
  }

  const violation = ({
    database,
    nodes,
    administrator,
    writing,
    settled,
    broken,
    asked,
  }: LunChangeState): string | undefined => {
    const running = nodes.filter(({ mode }) => mode !== 'dead')
    const members = nodes.filter(({ mode }) => mode === 'member')
    if (settled === 'out' && running.some(({ has, busy }) => has || busy)) return 'a node uses a LUN that was removed'
    if (settled === 'in' && members.some(({ has }) => !has)) return 'a member lacks a LUN that was added'
    if (settled && database.listed !== (settled === 'in'))
      return 'the database does not say what the requester was told'
    const quiet = administrator?.phase === 'idle' && !writing && nodes[administrator.node].mode === 'member' && !asked
    if (quiet && members.some(({ has }) => has !== database.listed)) return "a member's list is not the database's"
    if (quiet && database.pending) return 'a change is left pending'
    const announced = administrator?.phase === 'announce' ? administrator.change : undefined
    if (
      announced &&
      (database.pending?.generation !== announced.generation || database.pending.kind !== announced.kind)
    )
      return 'members are told what is not on the disk'
    return broken
  }

  const modeCodes = { member: 0, cut: 1, dead: 2 }
  const phaseCodes = { idle: 0, raise: 1, decide: 2, announce: 3, finish: 4, tell: 5 }
  const pendingCode = (pending: Pending | undefined) =>
    pending ? 1 + pending.generation * 2 + Number(pending.kind === 'add') : 0
  const databaseCodes = (database: Database | undefined): number[] =>
    database ? [1 + database.generation * 2 + Number(database.listed), pendingCode(database.pending)] : [0, 0]
  const encode = ({ database, writing, nodes, administrator, ...state }: LunChangeState): string => {
    const codes = [...databaseCodes(database), ...databaseCodes(writing)]
    for (const { mode, reaches, has, busy, told: message, answer } of nodes) {
      codes.push(modeCodes[mode] * 8 + Number(reaches) * 4 + Number(has) * 2 + Number(busy), pendingCode(message))
      codes.push(answer ? 1 + answer.generation * 2 + Number(answer.ok) : 0)
    }
    codes.push(
      administrator ? 1 + administrator.node * 8 + phaseCodes[administrator.phase] : 0,
      pendingCode(administrator?.change),
    )
    codes.push(state.asked ? (state.asked === 'add' ? 1 : 2) : 0, state.settled ? (state.settled === 'in' ? 1 : 2) : 0)
    codes.push(state.requests, state.failures, state.restarts, state.broken ? 1 : 0)
    for (const list of state.lists) codes.push(list === undefined ? 0 : list ? 1 : 2)
    return String.fromCharCode(...codes)
  }

  const showPending = (pending: Pending | undefined) => (pending ? `${pending.kind}@${pending.generation}` : '-')
  const showDatabase = ({ generation, listed: list, pending }: Database) =>
    `generation ${generation} ${list ? 'in' : 'out'} pending ${showPending(pending)}`
  const describe = ({ database, writing, nodes, administrator, asked, settled }: LunChangeState): string =>
    [
      `${showDatabase(database)}${writing ? ` ← ${showDatabase(writing)}` : ''}`,
      `administrator ${administrator ? `${administrator.node} ${administrator.phase} ${showPending(administrator.change)}` : '-'}`,
      ...nodes.map(
        ({ mode, reaches, has, busy, told: message, answer }, n) =>
          `node ${n} ${mode}${reaches ? '' : ' blind'}${has ? ' has' : ''}${busy ? ' busy' : ''}${message ? ` told ${showPending(message)}` : ''}${answer ? ` ${answer.ok ? 'ack' : 'no'}@${answer.generation}` : ''}`,
      ),
      `asked ${asked ?? '-'}, told ${settled ?? '-'}`,
    ].join('; ')

  return {
    name: options.name,
    actions: Object.values(actions),
    *initial() {
      // all reach the LUN, or one does not
      for (let blind = 0; blind < 2; blind++) {
        const nodes: Node[] = Array.from({ length: options.nodes }, (_, n) => ({
          mode: 'member',
          reaches: !(blind === 1 && n === options.nodes - 1),
          has: false,
          busy: false,
        }))
        yield {
          database: { generation: 1, listed: false },
          nodes,
          administrator: { node: 0, phase: 'idle' },
          requests: 0,
          failures: 0,
          restarts: 0,
          // a request may be decided and undone, a failure or a restart decides it anew: two generations each
          lists: [
            undefined,
            false,
            ...Array(2 * (2 * options.requests + options.failures + options.restarts)).fill(undefined),
          ],
        }
      }
    },
    next,
    encode,
    violation,
    final: () => true,
    /** Nothing is pending or under way; or nobody is left. */
    goal: ({ database, administrator, writing, nodes, restarts, asked }) =>
      (administrator?.phase === 'idle' && !writing && !database.pending && !asked) ||
      (restarts === options.restarts && nodes.every(({ mode }) => mode === 'dead')),
    describe,
  }
}
