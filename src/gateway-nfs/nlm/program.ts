/**
 * NLM version 4 as an RPC program. Each request exists twice: as a call whose reply is the result, and as a message (_MSG) whose
 * result is a call in the other direction (_RES). A call that would spoil something when done twice is remembered: an UNLOCK that comes
 * again late must not free what was locked since.
 */
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { MESSAGES_MAX } from '../limits.ts'
import { CallError } from '../rpc/caller.ts'
import { type CallContext, NoAnswer, TableProgram } from '../rpc/table-program.ts'
import { plainAddress } from '../rpc/transport.ts'
import type { Callbacks } from './callbacks.ts'
import type { LockManager } from './lock-manager.ts'
import * as n from './tables.ts'

/** A holder with the longest owner handle, and the longest cookie. */
const RESULT_BYTES = 4 * 1024

export type NlmProgramOptions = {
  readonly manager: LockManager
  readonly callbacks: Callbacks
  readonly clock: Clock
  readonly log: Log
}

export function nlmProgram({
  manager,
  callbacks,
  clock,
  log,
}: NlmProgramOptions): TableProgram<typeof n.nlmProcedures> {
  const messages = new Messages(callbacks, log)
  const result = async ({ cookie }: { readonly cookie: Buffer }, status: Promise<number>): Promise<n.NlmResult> => ({
    cookie,
    status: await status,
  })
  const test = async (args: n.NlmTestArgs, context: CallContext): Promise<n.NlmTestResult> => ({
    cookie: args.cookie,
    reply: (await manager.test(context, args)) as n.NlmTestResult['reply'],
  })
  const shared = async ({ cookie }: n.NlmShareArgs, status: Promise<number>) => ({
    ...{ cookie, status: await status, sequence: 0 },
  })
  const call = { monitored: true, byMessage: false }
  const message = { monitored: true, byMessage: true }
  return new TableProgram({
    ...{ name: 'nlm', number: n.NLM_PROGRAM, version: n.NLM_V4, clock },
    table: n.nlmProcedures,
    handlers: {
      NULL: () => {},
      TEST: test,
      LOCK: (args, context) => result(args, manager.lock(context, args, call)),
      CANCEL: (args, context) => result(args, manager.cancel(context, args)),
      UNLOCK: (args, context) => result(args, manager.unlock(context, args)),
      TEST_MSG: (args, context) => messages.answer(context, 'TEST_RES', () => test(args, context)),
      LOCK_MSG: (args, context) =>
        messages.answer(context, 'LOCK_RES', () => result(args, manager.lock(context, args, message))),
      CANCEL_MSG: (args, context) =>
        messages.answer(context, 'CANCEL_RES', () => result(args, manager.cancel(context, args))),
      UNLOCK_MSG: (args, context) =>
        messages.answer(context, 'UNLOCK_RES', () => result(args, manager.unlock(context, args))),
      GRANTED_RES: ({ cookie, status }, { session }) =>
        callbacks.granted(plainAddress(session.client.address), cookie, status),
      SHARE: (args, context) => shared(args, manager.share(context, args)),
      UNSHARE: (args, context) => shared(args, manager.unshare(context, args)),
      NM_LOCK: (args, context) =>
        result(args, manager.lock(context, { ...args, block: false }, { ...call, monitored: false })),
      FREE_ALL: ({ name }, { session }) =>
        manager.freeHost(plainAddress(session.client.address), name).catch((error) => {
          throw new NoAnswer(`the locks of ${name} could not be freed: ${String(error)}`)
        }),
      // of a client, not of a server: this node waits for no locks of others, and sends no messages that these would answer
      GRANTED: ({ cookie }) => ({ cookie, status: n.NLM4_DENIED }),
      GRANTED_MSG: (args, context) =>
        messages.answer(context, 'GRANTED_RES', async () => ({ cookie: args.cookie, status: n.NLM4_DENIED })),
      TEST_RES: () => {},
      LOCK_RES: () => {},
      CANCEL_RES: () => {},
      UNLOCK_RES: () => {},
    },
    once: [
      'LOCK',
      'CANCEL',
      'UNLOCK',
      'LOCK_MSG',
      'CANCEL_MSG',
      'UNLOCK_MSG',
      'SHARE',
      'UNSHARE',
      'NM_LOCK',
      'FREE_ALL',
    ],
    resultBytes: {
      ...{ TEST: RESULT_BYTES, LOCK: RESULT_BYTES, CANCEL: RESULT_BYTES, UNLOCK: RESULT_BYTES, NM_LOCK: RESULT_BYTES },
      ...{ SHARE: RESULT_BYTES, UNSHARE: RESULT_BYTES, GRANTED: RESULT_BYTES },
    },
  })
}

type ResultName = Parameters<Callbacks['result']>[1]

/** Messages whose results are under way. */
class Messages {
  readonly #callbacks: Callbacks
  readonly #log: Log
  #underWay = 0

  constructor(callbacks: Callbacks, log: Log) {
    this.#callbacks = callbacks
    this.#log = log
  }

  /** Has `work` done and its result sent; what is lost on the way the client asks for again. */
  answer<R extends ResultName>(
    { session }: CallContext,
    name: R,
    work: () => Promise<Parameters<(typeof n.nlmProcedures)[R]['args']['encode']>[1]>,
  ): void {
    if (this.#underWay >= MESSAGES_MAX) return
    this.#underWay++
    const { address, transport, localAddress } = session.client
    const host = {
      ...{ address: plainAddress(address), transport },
      localAddress: localAddress === undefined ? undefined : plainAddress(localAddress),
    }
    void work()
      .then((value) => this.#callbacks.result(host, name, value))
      .catch((error) => {
        if (!(error instanceof CallError) && !(error instanceof NoAnswer)) throw error
        this.#log.debug({ client: address, result: name, error: error.message }, 'the result of a message was not sent')
      })
      .finally(() => this.#underWay--)
  }
}
