/**
 * Persistent reservations as the pure function that they are, against tables made from SPC-4 (5.13): who has access under which type, and what each
 * service action makes of a state.
 *
 * A state is written as `A1 B2 / 5 A`: A is registered with key 1, B with key 2; reserved with type 5, held by A (`*`: by all registrants).
 */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Access,
  conflicts,
  type Nexus,
  nexusId,
  type OutRequest,
  type ReservationState,
  type ReservationType,
  reserveOut,
} from '../../../../src/san/target/reservation-state.ts'

const test = suite('san: persistent reservations')

const nexusOf = (letter: string, targetPort = 1): Nexus => ({ initiatorPort: `iqn.x:${letter},i,0x1`, targetPort })
const idOf = (letter: string): string => nexusId(nexusOf(letter))
const letterOf = (id: string): string => id.slice(id.indexOf(':') + 1)[0]!

function parse(text: string): ReservationState {
  const [registered, reserved] = text.split(' / ') as [string, string | undefined]
  const all = registered
    .split(' ')
    .filter((each) => each !== '' && each !== '-')
    .map(([letter, key]) => [idOf(letter!), { ...nexusOf(letter!), key: BigInt(key!) }] as const)
  const [type, holder] = reserved?.split(' ') ?? []
  return {
    generation: 10,
    registrations: new Map(all),
    reservation: type
      ? { type: Number(type) as ReservationType, holder: holder === '*' ? undefined : idOf(holder!) }
      : undefined,
    aptpl: false,
  }
}

function write({ registrations, reservation }: ReservationState): string {
  const all = [...registrations].map(([id, { key }]) => `${letterOf(id)}${key}`).sort()
  const holder = reservation?.holder === undefined ? '*' : letterOf(reservation.holder)
  return `${all.join(' ') || '-'}${reservation ? ` / ${reservation.type} ${holder}` : ''}`
}

// type: what a holder, another registrant and a stranger may do (r: read, w: write)
const accessTable: readonly (readonly [type: number, holder: string, registrant: string, stranger: string])[] = [
  [1, 'rw', 'r', 'r'],
  [3, 'rw', '', ''],
  [5, 'rw', 'rw', 'r'],
  [6, 'rw', 'rw', ''],
  [7, 'rw', 'rw', 'r'],
  [8, 'rw', 'rw', ''],
]
for (const [type, holder, registrant, stranger] of accessTable) {
  test(`access under type ${type}`, () => {
    const state = parse(`A1 B2 / ${type} ${type >= 7 ? '*' : 'A'}`)
    for (const [who, allowed] of [
      ['A', holder],
      ['B', registrant],
      ['C', stranger],
    ] as const) {
      const may = (access: Access): boolean => !conflicts(state, idOf(who), access)
      assert.equal([may('read'), may('write')], [allowed.includes('r'), allowed.includes('w')], who)
      assert.ok(may('any'), who)
    }
  })
}

test('nobody is kept out without a reservation, registered or not', () => {
  for (const who of ['A', 'C']) assert.not(conflicts(parse('A1'), idOf(who), 'write'))
})

test('the same initiator at another port of the target is another nexus', () => {
  const other = nexusId(nexusOf('A', 2))
  assert.ok(conflicts(parse('A1 / 7 *'), other, 'write'))
})

type Row = readonly [
  before: string,
  request: string,
  verdict: 'good' | 'conflict' | 'invalid-parameter' | 'invalid-release',
  after: string,
  /** Who is told what (P: reservations preempted, R: reservations released, G: registrations preempted), and `!` whose commands are aborted. */
  told?: string,
]

/** `A register 0 1`: key 0, new key 1; `A preempt 1 2 7`: key 1, of the victim 2, type 7. */
function request(text: string): readonly [Nexus, OutRequest] {
  const [who, action, first, second, third] = text.split(' ') as [string, OutRequest['action'], string, string, string]
  const key = BigInt(first)
  const make = (): OutRequest => {
    switch (action) {
      case 'register':
      case 'register-ignore':
        return { action, key, newKey: BigInt(second), aptpl: false }
      case 'reserve':
      case 'release':
        return { action, key, type: Number(second) as ReservationType }
      case 'clear':
        return { action, key }
      case 'preempt':
      case 'preempt-abort':
        return { action, key, victimKey: BigInt(second), type: Number(third) as ReservationType }
      case 'register-move':
        return {
          ...{ action, key, newKey: BigInt(second), aptpl: false, to: nexusOf(third[0]!) },
          unregister: third.endsWith('-'),
        }
    }
  }
  return [nexusOf(who), make()]
}

const rows: Record<string, readonly Row[]> = {
  REGISTER: [
    ['-', 'A register 0 1', 'good', 'A1'],
    ['-', 'A register 9 1', 'conflict', '-'],
    ['-', 'A register 0 0', 'good', '-'],
    ['A1', 'A register 1 2', 'good', 'A2'],
    ['A1', 'A register 0 2', 'conflict', 'A1'],
    ['A1', 'A register 2 2', 'conflict', 'A1'],
    ['A1 B1', 'A register 1 0', 'good', 'B1'],
    ['A1', 'B register 0 1', 'good', 'A1 B1'],
    ['A1 / 1 A', 'A register 1 2', 'good', 'A2 / 1 A'],
    ['A1 B2 / 1 A', 'A register 1 0', 'good', 'B2'],
    ['A1 B2 / 3 A', 'A register 1 0', 'good', 'B2'],
    ['A1 B2 C3 / 5 A', 'A register 1 0', 'good', 'B2 C3', 'BR CR'],
    ['A1 B2 C3 / 6 A', 'A register 1 0', 'good', 'B2 C3', 'BR CR'],
    ['A1 B2 / 5 A', 'B register 2 0', 'good', 'A1 / 5 A'],
    ['A1 B2 / 7 *', 'A register 1 0', 'good', 'B2 / 7 *'],
    ['B2 / 7 *', 'B register 2 0', 'good', '-'],
  ],
  'REGISTER AND IGNORE EXISTING KEY': [
    ['-', 'A register-ignore 9 1', 'good', 'A1'],
    ['A1', 'A register-ignore 9 2', 'good', 'A2'],
    ['A1', 'A register-ignore 9 0', 'good', '-'],
    ['-', 'A register-ignore 9 0', 'good', '-'],
    ['A1 B2 / 8 *', 'C register-ignore 0 3', 'good', 'A1 B2 C3 / 8 *'],
  ],
  RESERVE: [
    ['A1', 'A reserve 1 1', 'good', 'A1 / 1 A'],
    ['A1', 'A reserve 1 7', 'good', 'A1 / 7 *'],
    ['A1', 'A reserve 2 1', 'conflict', 'A1'],
    ['A1', 'B reserve 0 1', 'conflict', 'A1'],
    ['A1 / 1 A', 'A reserve 1 1', 'good', 'A1 / 1 A'],
    ['A1 / 1 A', 'A reserve 1 3', 'conflict', 'A1 / 1 A'],
    ['A1 B2 / 1 A', 'B reserve 2 1', 'conflict', 'A1 B2 / 1 A'],
    ['A1 B2 / 5 A', 'B reserve 2 5', 'conflict', 'A1 B2 / 5 A'],
    ['A1 B2 / 7 *', 'B reserve 2 7', 'good', 'A1 B2 / 7 *'],
    ['A1 B2 / 7 *', 'B reserve 2 8', 'conflict', 'A1 B2 / 7 *'],
  ],
  RELEASE: [
    ['A1 / 1 A', 'A release 1 1', 'good', 'A1'],
    ['A1 / 1 A', 'A release 2 1', 'conflict', 'A1 / 1 A'],
    ['A1 / 1 A', 'A release 1 3', 'invalid-release', 'A1 / 1 A'],
    ['A1', 'A release 1 3', 'good', 'A1'],
    ['A1 B2 / 1 A', 'B release 2 1', 'good', 'A1 B2 / 1 A'],
    ['A1 B2 / 1 A', 'A release 1 1', 'good', 'A1 B2'],
    ['A1 B2 / 5 A', 'A release 1 5', 'good', 'A1 B2', 'BR'],
    ['A1 B2 C3 / 7 *', 'B release 2 7', 'good', 'A1 B2 C3', 'AR CR'],
    ['A1 / 1 A', 'C release 1 1', 'conflict', 'A1 / 1 A'],
  ],
  CLEAR: [
    ['A1 B2 C3 / 1 A', 'B clear 2', 'good', '-', 'AP CP'],
    ['A1 B2', 'A clear 1', 'good', '-', 'BP'],
    ['A1 B2', 'A clear 2', 'conflict', 'A1 B2'],
    ['A1 B2', 'C clear 1', 'conflict', 'A1 B2'],
  ],
  PREEMPT: [
    // registrations only
    ['A1 B2 C2', 'A preempt 1 2 0', 'good', 'A1', 'BG CG'],
    ['A1 B2', 'A preempt 1 3 1', 'conflict', 'A1 B2'],
    ['A1 B2', 'A preempt 1 0 1', 'invalid-parameter', 'A1 B2'],
    ['A1 B2', 'A preempt 2 2 1', 'conflict', 'A1 B2'],
    ['A1 B2', 'C preempt 0 2 1', 'conflict', 'A1 B2'],
    ['A1 B2 C3 / 1 B', 'A preempt 1 3 1', 'good', 'A1 B2 / 1 B', 'CG'],
    // the reservation passes on
    ['A1 B2 / 1 B', 'A preempt 1 2 1', 'good', 'A1 / 1 A', 'BG'],
    ['A1 B2 C2 / 5 B', 'A preempt 1 2 5', 'good', 'A1 / 5 A', 'BG CG'],
    ['A1 B2 C3 / 5 B', 'A preempt 1 2 3', 'good', 'A1 C3 / 3 A', 'BG CR'],
    ['A1 B2 C3 / 1 B', 'A preempt 1 2 7', 'good', 'A1 C3 / 7 *', 'BG CR'],
    ['A1 B2 / 1 B', 'A preempt 1 0 1', 'invalid-parameter', 'A1 B2 / 1 B'],
    // itself
    ['A1 B2 / 1 A', 'A preempt 1 1 3', 'good', 'A1 B2 / 3 A', 'BR'],
    ['A1 B1 / 1 A', 'A preempt 1 1 1', 'good', 'A1 / 1 A', 'BG'],
    ['A1 B2', 'A preempt 1 1 1', 'good', 'B2'],
    // all registrants
    ['A1 B2 C3 / 7 *', 'A preempt 1 2 7', 'good', 'A1 C3 / 7 *', 'BG'],
    ['A1 B2 C3 / 7 *', 'A preempt 1 0 8', 'good', 'A1 / 8 *', 'BG CG'],
    ['A1 B2 C3 / 8 *', 'A preempt 1 0 8', 'good', 'A1 / 8 *', 'BG CG'],
    ['A1 B2 / 7 *', 'A preempt 1 9 7', 'conflict', 'A1 B2 / 7 *'],
    ['A1 / 7 *', 'A preempt 1 1 7', 'good', '-'],
  ],
  'PREEMPT AND ABORT': [
    ['A1 B2 C3 / 7 *', 'A preempt-abort 1 2 7', 'good', 'A1 C3 / 7 *', 'BG B!'],
    ['A1 B2 / 1 B', 'A preempt-abort 1 2 1', 'good', 'A1 / 1 A', 'BG B!'],
    ['A1 B2 C2', 'A preempt-abort 1 2 0', 'good', 'A1', 'BG CG B! C!'],
    ['A1 B2', 'A preempt-abort 1 3 1', 'conflict', 'A1 B2'],
    ['A1 B1 / 1 A', 'A preempt-abort 1 1 1', 'good', 'A1 / 1 A', 'BG B!'],
  ],
  'REGISTER AND MOVE': [
    ['A1 / 1 A', 'A register-move 1 5 B', 'good', 'A1 B5 / 1 B'],
    ['A1 / 1 A', 'A register-move 1 5 B-', 'good', 'B5 / 1 B'],
    ['A1 B2 / 5 A', 'A register-move 1 5 B', 'good', 'A1 B5 / 5 B'],
    ['A1', 'A register-move 1 5 B', 'conflict', 'A1'],
    ['A1 B2 / 1 A', 'B register-move 2 5 C', 'conflict', 'A1 B2 / 1 A'],
    ['A1 / 7 *', 'A register-move 1 5 B', 'conflict', 'A1 / 7 *'],
    ['A1 / 1 A', 'A register-move 1 0 B', 'invalid-parameter', 'A1 / 1 A'],
    ['A1 / 1 A', 'A register-move 1 5 A', 'invalid-parameter', 'A1 / 1 A'],
    ['A1 / 1 A', 'A register-move 2 5 B', 'conflict', 'A1 / 1 A'],
  ],
}

const signs = { 'reservations-preempted': 'P', 'reservations-released': 'R', 'registrations-preempted': 'G' } as const
/** PRGENERATION stays with RESERVE and RELEASE, and with what changed nothing. */
const counted = (action: string): boolean => action !== 'RESERVE' && action !== 'RELEASE'

for (const [action, table] of Object.entries(rows)) {
  test(action, () => {
    for (const [before, text, verdict, after, told = ''] of table) {
      const what = `${before}: ${text}`
      const start = parse(before)
      const result = reserveOut(start, ...request(text))
      assert.is(result.verdict, verdict, what)
      assert.is(write(result.state), after, what)
      const found = [
        ...result.attentions.map(([id, attention]) => letterOf(id) + signs[attention]),
        ...result.abort.map((id) => `${letterOf(id)}!`),
      ]
      assert.is(found.join(' '), told, what)
      const isNothing = verdict !== 'good' || /^- .* 0$/.test(`${before} ${text}`)
      assert.is(result.state.generation, counted(action) && !isNothing ? 11 : 10, what)
      assert.is(write(start), before, `${what} has changed the state before`)
    }
  })
}

test('a registration at all ports, and for other initiators; not with a second registration', () => {
  const make = (more: object): OutRequest =>
    ({ action: 'register', key: 0n, newKey: 1n, aptpl: true, ...more }) as OutRequest
  const all = reserveOut(parse('-'), nexusOf('A'), make({ allPorts: [1, 2] }))
  assert.equal([...all.state.registrations.keys()], [nexusId(nexusOf('A', 1)), nexusId(nexusOf('A', 2))])
  assert.ok(all.state.aptpl)
  const others = reserveOut(parse('-'), nexusOf('A'), make({ others: [nexusOf('B').initiatorPort] }))
  assert.is(write(others.state), 'A1 B1')
  const second = reserveOut(parse('A1'), nexusOf('A'), {
    ...make({ others: ['iqn.x:b,i,0x1'] }),
    key: 1n,
  } as OutRequest)
  assert.is(second.verdict, 'invalid-parameter')
  const ignoring = reserveOut(parse('-'), nexusOf('A'), make({ action: 'register-ignore', others: ['iqn.x:b,i,0x1'] }))
  assert.is(ignoring.verdict, 'invalid-parameter')
})

test('the last registration says whether all outlasts a power loss', () => {
  const on = reserveOut(parse('A1 / 7 *'), nexusOf('B'), { action: 'register', key: 0n, newKey: 2n, aptpl: true })
  assert.ok(on.state.aptpl)
  const off = reserveOut(on.state, nexusOf('A'), { action: 'register', key: 1n, newKey: 1n, aptpl: false })
  assert.not(off.state.aptpl)
  const nothing = reserveOut(on.state, nexusOf('C'), { action: 'register', key: 0n, newKey: 0n, aptpl: false })
  assert.ok(nothing.state.aptpl, 'what registers nothing decides nothing')
})

test.run()
