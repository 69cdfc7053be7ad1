/**
 * The SAN lock: Disk Paxos, a term after the other, with leases, late writes, crashes and restarts.
 *
 *   idle     look at a majority: `seen` is the join of all sectors, and the own ones are taken over (a restart needs no more).
 *            Term decided: the owner is this life → it owns the term; it released, or is certainly dead → the next term; else wait.
 *            Term not decided, or none yet → that term. The ballot is above all seen, and this node's own.
 *   phase 1  write {term, mbal = ballot} and on a majority of writes look again. A higher term or ballot → give up. Else the
 *            value is that of the highest bal seen, or this life.
 *   phase 2  write {bal = ballot, value}, and on a majority look again, give up likewise. Else the value is decided: who finds this
 *            writes {decided}, and owns the term if it is the value.
 *   owner    until its lease ends, or it begins to write {released}.
 *
 * Time: the lease of a life ends at any moment (a crash is the same: nothing more is issued and nothing believed). Its writes that were
 * under way may still land, until its I/O is certainly dead. Only then may a successor start, and only then, or after {released}, may
 * another node take over. A node that stands still and goes on is one whose steps come late, which any order of steps contains.
 *
 * Sectors: one per node and partition. At most one write of it is under way; a partition with one is left out of a write.
 *
 * Invariants: at most one life owns and has a lease; one value decided per term; terms that are owned only grow.
 * And it never gets stuck: from every state some life can get the lock, or what bounds the model has been used up.
 */

import { BLANK, join, type Life, type Rec, rec } from './san-lock-record.ts'
import type { Model, Step } from './search.ts'

export type SanLockRules = {
  /** The second phase is not read again before the value counts as decided. */
  readonly skipReread?: true
  /** A restarted node does not look at what its former life has promised. */
  readonly forgetPromises?: true
  /** The owner's death is not waited for. */
  readonly noWait?: true
  /** The owner's lease is waited for, but not the death of its I/O. */
  readonly leaseOnly?: true
  /** One partition is enough to read. */
  readonly readOne?: true
  /** A write goes out while an earlier one to the same sector is under way, and may be overtaken by it. */
  readonly overtake?: true
  /** A successor starts while I/O of its former life may land. */
  readonly hastyRestart?: true
  /** The next term is the one after the highest decided one, not the highest seen. */
  readonly decidedTermOnly?: true
  /** A node forgets that it has released a term. */
  readonly forgetRelease?: true
}

export type SanLockOptions = {
  readonly name: string
  readonly nodes: number
  readonly partitions: 1 | 3
  readonly terms: number
  readonly rounds: number
  /** Lives of each node, and restarts of all nodes together. */
  readonly lives: number
  readonly restarts: number
  /** What may happen to the last partition: gone for good, or at one moment as it was when it was formatted. */
  readonly fault?: 'lost' | 'reset'
  /** A write may fail while its node lives. */
  readonly writeErrors?: boolean
  /** A partition is read sector by sector in any order (the own one with each), not in one moment. */
  readonly tornReads?: boolean
  /**
   * When a node goes on with two of three partitions: as soon as it has any two ('majority'), or only when the third one has failed
   * ('healthy': the first two never do).
   */
  readonly quorum?: 'majority' | 'healthy'
  readonly rules?: SanLockRules
}

/** Looks whether it may try: begins, and begins again, to read a majority. */
const IDLE = 0
/** Writes; the phase after it reads back. */
const WRITE_1 = 1
const WRITE_2 = 3
const READ_2 = 4
const OWNER = 5
const phaseNames = ['idle', 'writes 1', 'reads 1', 'writes 2', 'reads 2', 'OWNER']

/** Has its lease; its lease is over but writes of it may land; nothing of it can land any more. */
type Mode = 'up' | 'ended' | 'dead'
const modeCodes: Record<Mode, number> = { up: 0, ended: 1, dead: 2 }

type Node = {
  /** Which life of the node this is, from 1. */
  readonly life: number
  readonly mode: Mode
  readonly phase: number
  /** What the own sector holds at most: the last record written, joined with what was taken over. */
  readonly mine: Rec
  /** The join of what was read in this phase. */
  readonly seen: Rec
  /** Of it, what was decided (for a broken rule only). */
  readonly seenDecided: Rec
  /** Bits of the partitions (with `tornReads`: sectors) read in this phase. */
  readonly read: number
  /** Bits of the partitions that have the last write. */
  readonly written: number
  /** Per partition: the write under way. */
  readonly pending: readonly (Rec | undefined)[]
}

export type SanLockState = {
  readonly nodes: readonly Node[]
  /** Partition by partition, node by node. */
  readonly sectors: readonly Rec[]
  /** The partition that has failed; -1 none. */
  readonly faulted: number
  readonly restarts: number
  /** What was decided, by term, and the highest term that was owned: known to nobody, kept for the invariants. */
  readonly chosen: readonly Life[]
  readonly lastOwned: number
  readonly broken: string | undefined
}

const actions = {
  read: 'reads',
  giveUp: 'gives up its try',
  land: 'a write lands',
  fail: 'a write fails',
  release: 'releases the lock',
  end: 'its lease ends',
  lateWrite: 'a late write lands',
  ioDies: 'its I/O is dead',
  restart: 'starts again',
  fault: 'a partition fails',
} as const

export function sanLock(options: SanLockOptions): Model<SanLockState> {
  const { nodes: nodeCount, partitions, terms, rounds, lives, fault, rules = {}, quorum = 'majority' } = options
  const majority = partitions === 3 ? 2 : 1
  const units = options.tornReads ? partitions * nodeCount : partitions

  const lifeOf = (n: number, life: number): Life => 1 + (life - 1) * nodeCount + n
  const nodeOfLife = (value: Life) => (value - 1) % nodeCount
  const numberOfLife = (value: Life) => Math.floor((value - 1) / nodeCount) + 1
  // first by round, then by node. Two lives of a node may use one ballot: never both beyond phase 1, which a majority of partitions has seen
  const ballotOf = (round: number, n: number) => 1 + (round - 1) * nodeCount + n
  const roundOf = (ballot: number) => (ballot === 0 ? 0 : Math.floor((ballot - 1) / nodeCount) + 1)

  const enough = (bits: number) =>
    quorum === 'healthy' ? (bits & 0b11) === 0b11 : (bits & 1) + ((bits >> 1) & 1) + (bits >> 2) >= majority
  const accessible = (state: SanLockState, partition: number) => !(fault === 'lost' && partition === state.faulted)

  const withNode = (state: SanLockState, n: number, changes: Partial<Node>): SanLockState => {
    const nodes = state.nodes.slice()
    nodes[n] = { ...nodes[n], ...changes }
    return { ...state, nodes }
  }

  /** Nothing but its life is left of a life that has ended. */
  const forgotten = {
    phase: IDLE,
    mine: BLANK,
    seen: BLANK,
    seenDecided: BLANK,
    read: 0,
    written: 0,
  }
  const nothingPending: readonly undefined[] = Array(partitions).fill(undefined)
  const freshNode: Node = { life: 1, mode: 'up', ...forgotten, pending: nothingPending }

  /** What is under way of a life that has ended; with nothing more to land all is over. */
  const lateNode = (pending: Node['pending']): Partial<Node> => ({
    pending,
    mode: pending.every((record) => record === undefined) ? 'dead' : 'ended',
  })

  /** Writes go out to every partition that has none under way; undefined when those are too few. */
  const issue = (state: SanLockState, n: number, record: Rec, phase: number): SanLockState | undefined => {
    const pending = state.nodes[n].pending.slice()
    let sectors = state.sectors
    let sent = 0
    let written = 0
    for (let p = 0; p < partitions; p++) {
      if (!accessible(state, p)) continue
      if (pending[p] === undefined) pending[p] = record
      else if (rules.overtake || (rules.hastyRestart && state.nodes[n].life > 1)) {
        sectors = replaced(sectors, p * nodeCount + n, record)
        written |= 1 << p
      } else continue
      sent |= 1 << p
    }
    if (!enough(sent)) return undefined
    const next = withNode({ ...state, sectors }, n, { mine: record, phase, pending, written, ...notRead })
    return settle(next, n)
  }

  /** With enough writes acknowledged a phase goes on to read. */
  const settle = (state: SanLockState, n: number): SanLockState => {
    const { phase, written } = state.nodes[n]
    if ((phase !== WRITE_1 && phase !== WRITE_2) || !enough(written)) return state
    if (phase === WRITE_2 && rules.skipReread) return decide(state, n) ?? state
    return withNode(state, n, { phase: phase + 1, ...notRead })
  }

  const certainlyDead = (state: SanLockState, owner: Life): boolean => {
    const { life, mode } = state.nodes[nodeOfLife(owner)]
    if (rules.noWait || numberOfLife(owner) < life) return true
    return mode === 'dead' || (rules.leaseOnly === true && mode === 'ended')
  }

  const own = (state: SanLockState, n: number, term: number): SanLockState => ({
    ...withNode(state, n, { phase: OWNER, ...notRead, written: 0 }),
    lastOwned: term,
    broken: term > state.lastOwned ? state.broken : `term ${term} is owned after term ${state.lastOwned}`,
  })

  /** A majority has been looked at: what now? undefined when what bounds the model is used up, or writes are under way. */
  const begin = (state: SanLockState, n: number): SanLockState | undefined => {
    const { life, mine, seen: read, seenDecided } = state.nodes[n]
    const self = lifeOf(n, life)
    let seen = join(mine, read)
    if (rules.decidedTermOnly) {
      const decided = mine.decided ? join(mine, seenDecided) : seenDecided
      if (decided.term < seen.term - 1) seen = rec({ ...BLANK, term: decided.term + 1 })
    }
    let term = Math.max(seen.term, 1)
    let base = seen
    if (seen.decided) {
      const released = rules.forgetRelease && seen.value === self ? false : seen.released
      if (seen.value === self && !released) return own(state, n, term)
      if (!released && !certainlyDead(state, seen.value)) return withNode(state, n, { phase: IDLE, ...notRead })
      term++
      base = BLANK
    }
    const round = roundOf(base.mbal) + 1
    if (term > terms || round > rounds) return undefined
    const kept = mine.term === term ? mine : BLANK
    return issue(state, n, rec({ ...kept, term, mbal: ballotOf(round, n) }), WRITE_1)
  }

  /** Both phases have been read back: the value stands. */
  const decide = (state: SanLockState, n: number): SanLockState | undefined => {
    const { mine, life } = state.nodes[n]
    const issued = issue(state, n, rec({ ...mine, decided: true }), IDLE)
    if (!issued) return undefined
    const former = state.chosen[mine.term]
    const chosen = replaced(state.chosen, mine.term, mine.value)
    const broken =
      former !== 0 && former !== mine.value
        ? `two values decided in term ${mine.term}: ${former}, ${mine.value}`
        : undefined
    const next = { ...issued, chosen, broken: broken ?? issued.broken }
    return mine.value === lifeOf(n, life) ? own(next, n, mine.term) : next
  }

  /** What a phase does once it has read enough; undefined while it cannot. */
  const afterReading = (state: SanLockState, n: number): SanLockState | undefined => {
    const { phase, mine, seen: read, life } = state.nodes[n]
    if (phase === IDLE) return begin(state, n)
    const seen = join(mine, read)
    if (seen.term > mine.term || seen.mbal > mine.mbal || (seen.decided && !mine.decided)) {
      return withNode(state, n, { phase: IDLE, ...notRead })
    }
    if (phase === READ_2) return decide(state, n)
    const value = seen.bal > 0 ? seen.value : lifeOf(n, life)
    return issue(state, n, rec({ ...mine, bal: mine.mbal, value }), WRITE_2)
  }

  const readUnit = (state: SanLockState, n: number, unit: number): SanLockState => {
    const node = state.nodes[n]
    const p = options.tornReads ? Math.floor(unit / nodeCount) : unit
    let { seen, seenDecided, mine } = node
    for (let other = 0; other < nodeCount; other++) {
      if (options.tornReads && other !== n && unit % nodeCount !== other) continue
      const sector = state.sectors[p * nodeCount + other]
      if (other === n && rules.forgetPromises) continue
      seen = join(seen, sector)
      if (rules.decidedTermOnly && sector.decided) seenDecided = join(seenDecided, sector)
      // a life that has not written yet takes over what the lives before it have promised
      if (other === n && node.phase === IDLE) mine = join(mine, sector)
    }
    return withNode(state, n, { seen, seenDecided, mine, read: node.read | (1 << unit) })
  }
  const haveRead = (read: number, n: number): boolean => {
    let bits = 0
    const all = (1 << nodeCount) - 1
    for (let p = 0; p < partitions; p++) {
      const part = options.tornReads ? ((read >> (p * nodeCount)) & all) | (1 << n) : (read >> p) & 1
      if (part === (options.tornReads ? all : 1)) bits |= 1 << p
    }
    return rules.readOne ? bits !== 0 : enough(bits)
  }

  function* nodeSteps(state: SanLockState, n: number): Iterable<Step<SanLockState>> {
    const node = state.nodes[n]
    const where = `node ${n}`
    const { phase, mode } = node
    for (let p = 0; p < partitions; p++) {
      const record = node.pending[p]
      if (record === undefined) continue
      const place = `${where}, partition ${p}`
      const pending = replaced(node.pending, p, undefined)
      const landed = {
        ...withNode(state, n, mode === 'ended' ? lateNode(pending) : { pending }),
        sectors: replaced(state.sectors, p * nodeCount + n, record),
      }
      if (mode !== 'up') yield { action: actions.lateWrite, where: place, state: landed }
      else {
        const written = record === node.mine ? node.written | (1 << p) : node.written
        yield {
          action: actions.land,
          where: place,
          state: settle(withNode(landed, n, { written: waits(phase) ? written : 0 }), n),
        }
        if (options.writeErrors) {
          yield { action: actions.fail, where: place, state: withNode(state, n, { pending }) }
        }
      }
    }
    if (mode === 'ended') {
      yield { action: actions.ioDies, where, state: withNode(state, n, { mode: 'dead', pending: nothingPending }) }
    }
    if (
      (mode === 'dead' || (rules.hastyRestart && mode === 'ended')) &&
      node.life < lives &&
      state.restarts < options.restarts
    ) {
      const restarted = withNode(state, n, { ...freshNode, life: node.life + 1, pending: node.pending })
      yield { action: actions.restart, where, state: { ...restarted, restarts: state.restarts + 1 } }
    }
    if (mode !== 'up') return
    yield { action: actions.end, where, state: withNode(state, n, { ...forgotten, ...lateNode(node.pending) }) }
    // the release of the last term would serve nobody; the value it owns may not be the one it last wrote, if another life decided
    if (phase === OWNER && node.mine.term < terms) {
      const next = issue(
        state,
        n,
        rec({ ...node.mine, value: lifeOf(n, node.life), decided: true, released: true }),
        IDLE,
      )
      if (next) yield { action: actions.release, where, state: next }
    } else if (waits(phase)) {
      yield { action: actions.giveUp, where, state: withNode(state, n, { phase: IDLE, ...notRead, written: 0 }) }
    }
    if (phase !== OWNER && !waits(phase)) yield* reads(state, n, where)
  }

  function* reads(state: SanLockState, n: number, where: string): Iterable<Step<SanLockState>> {
    for (let unit = 0; unit < units; unit++) {
      const p = options.tornReads ? Math.floor(unit / nodeCount) : unit
      if (state.nodes[n].read & (1 << unit) || !accessible(state, p)) continue
      if (options.tornReads && unit % nodeCount === n) continue
      const after = readUnit(state, n, unit)
      const next = haveRead(after.nodes[n].read, n) ? afterReading(after, n) : after
      if (next)
        yield {
          action: actions.read,
          where: `${where}, ${options.tornReads ? `sector ${unit % nodeCount} of ` : ''}partition ${p}`,
          state: next,
        }
    }
  }

  function* next(state: SanLockState): Iterable<Step<SanLockState>> {
    for (let n = 0; n < nodeCount; n++) yield* nodeSteps(state, n)
    if (!fault || state.faulted >= 0) return
    for (let p = quorum === 'healthy' ? partitions - 1 : 0; p < partitions; p++) yield faultStep(state, p)
  }

  const faultStep = (state: SanLockState, p: number): Step<SanLockState> => {
    let failed: SanLockState = { ...state, faulted: p }
    if (fault === 'reset') {
      failed = {
        ...failed,
        sectors: state.sectors.map((sector, i) => (Math.floor(i / nodeCount) === p ? BLANK : sector)),
      }
    } else {
      for (let n = 0; n < nodeCount; n++) {
        const pending = replaced(failed.nodes[n].pending, p, undefined)
        failed = withNode(failed, n, failed.nodes[n].mode === 'ended' ? lateNode(pending) : { pending })
      }
    }
    return { action: actions.fault, where: `partition ${p} is ${fault}`, state: failed }
  }

  /** Somebody has the lock, or the newest term has no ballot left, or no life is left. */
  const goal = ({ nodes, sectors, restarts }: SanLockState): boolean => {
    if (nodes.some(({ phase }) => phase === OWNER)) return true
    const { term, mbal, decided } = sectors.reduce(join)
    if ((decided && term >= terms) || (term > 0 && roundOf(mbal) >= rounds)) return true
    return nodes.every(({ mode, life }) => mode !== 'up' && (life === lives || restarts === options.restarts))
  }

  // Partitions that were exchanged make an equal state: the key has them in order. With `healthy` the last one differs from the others.
  const exchangeable = quorum === 'healthy' ? partitions - 1 : partitions
  const encode = (state: SanLockState): string => {
    const columns: string[] = []
    for (let p = 0; p < partitions; p++) {
      const codes = [state.faulted === p ? 1 : 0]
      for (let n = 0; n < nodeCount; n++) {
        const { read, written, pending } = state.nodes[n]
        const bits = options.tornReads ? (read >> (p * nodeCount)) & ((1 << nodeCount) - 1) : (read >> p) & 1
        codes.push(state.sectors[p * nodeCount + n].id, (pending[p]?.id ?? -1) + 1, bits * 2 + ((written >> p) & 1))
      }
      columns.push(String.fromCharCode(...codes))
    }
    const ordered =
      partitions === 1 ? columns : [...columns.slice(0, exchangeable).sort(), ...columns.slice(exchangeable)]
    const codes = [state.restarts, state.lastOwned, ...state.chosen, state.broken ? 1 : 0]
    for (const { life, mode, phase, mine, seen, seenDecided } of state.nodes) {
      codes.push((life * 4 + modeCodes[mode]) * 8 + phase, mine.id, seen.id, seenDecided.id)
    }
    return ordered.join('') + String.fromCharCode(...codes)
  }

  const showLife = (value: Life) => (value === 0 ? '-' : `${nodeOfLife(value)}.${numberOfLife(value)}`)
  const show = ({ term, mbal, bal, value, decided, released }: Rec) =>
    term === 0
      ? '-'
      : `t${term} m${mbal} b${bal}=${showLife(value)}${decided ? ' decided' : ''}${released ? ' released' : ''}`
  const describe = (state: SanLockState): string =>
    state.nodes
      .map((node, n) => {
        const sectors = Array.from({ length: partitions }, (_, p) => {
          const pending = node.pending[p]
          return `[${show(state.sectors[p * nodeCount + n])}${pending ? ` ← ${show(pending)}` : ''}]`
        })
        return `node ${n}.${node.life} ${node.mode} ${phaseNames[node.phase]} ${sectors.join('')}`
      })
      .join('; ')

  return {
    name: options.name,
    actions: Object.values(actions).filter(
      (action) =>
        (action !== actions.fault || fault !== undefined) &&
        (action !== actions.fail || options.writeErrors) &&
        (action !== actions.restart || options.restarts > 0),
    ),
    initial: () => [
      {
        nodes: Array(nodeCount).fill(freshNode),
        sectors: Array(partitions * nodeCount).fill(BLANK),
        faulted: -1,
        restarts: 0,
        chosen: Array(terms + 1).fill(0),
        lastOwned: 0,
        broken: undefined,
      },
    ],
    next,
    encode,
    violation: ({ nodes, broken }) =>
      nodes.filter(({ mode, phase }) => mode === 'up' && phase === OWNER).length > 1 ? 'two live owners' : broken,
    final: () => true,
    goal,
    describe,
  }
}

const notRead = { read: 0, seen: BLANK, seenDecided: BLANK }

const waits = (phase: number) => phase === WRITE_1 || phase === WRITE_2

function replaced<T>(items: readonly T[], index: number, item: T): T[] {
  const copy = items.slice()
  copy[index] = item
  return copy
}
