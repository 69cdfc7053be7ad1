/** Who is at the other end of a connection, with what follows from it and is asked for in every request. */

import { admits, type Credentials, callerOf, type Export, type Handle, parseAddress } from '../../export/index.ts'
import type { Caller } from '../../metadata/index.ts'
import { DATAGRAM_TRANSFER_MAX, TRANSFER_MAX } from '../limits.ts'
import type { ClientReplies } from './replies.ts'
import type { Transport } from './transport.ts'

/** Why a handle is of no use to a client: nothing like it is exported, or not to this client. */
export type Refusal = 'stale' | 'refused'

export type ClientOptions = {
  /** As the socket says. */
  readonly address: string
  readonly port: number
  readonly transport: Transport
  /** Which of our addresses it speaks to; undefined when that cannot be known. */
  readonly localAddress: string | undefined
  readonly exports: () => readonly Export[]
  readonly replies: ClientReplies
}

export class Client {
  /** As the socket says, for messages. */
  readonly address: string
  readonly port: number
  readonly transport: Transport
  readonly localAddress: string | undefined
  /** Most bytes of data in one of its calls or replies. */
  readonly transferMax: number
  readonly bytes: Uint8Array
  readonly replies: ClientReplies
  readonly #exports: () => readonly Export[]
  /** The export looked up last, and under which exports that was. */
  #knownExports: readonly Export[] | undefined
  #known: Export | undefined
  #callerExport: Export | undefined
  #callerCredentials: Credentials | undefined
  #caller: Caller | undefined

  constructor(options: ClientOptions) {
    this.address = options.address
    this.port = options.port
    this.transport = options.transport
    this.localAddress = options.localAddress
    this.transferMax = options.transport === 'tcp' ? TRANSFER_MAX : DATAGRAM_TRANSFER_MAX
    this.bytes = parseAddress(options.address) ?? new Uint8Array(16)
    this.replies = options.replies
    this.#exports = options.exports
  }

  get exports(): readonly Export[] {
    return this.#exports()
  }

  /** Whether any export admits it. */
  get isAdmitted(): boolean {
    return this.#exports().some((each) => admits(each, this.bytes))
  }

  /** The export that a handle belongs to. */
  exportOf(handle: Handle): Export | Refusal {
    const exports = this.#exports()
    const known = this.#known
    if (known && exports === this.#knownExports && known.id === handle.exportId && known.fs.fsid === handle.fsid)
      return known
    const candidates = exports.filter((each) => each.id === handle.exportId && each.fs.fsid === handle.fsid)
    const found = candidates.find((each) => admits(each, this.bytes))
    if (!found) return candidates.length > 0 ? 'refused' : 'stale'
    this.#knownExports = exports
    return (this.#known = found)
  }

  /** In whose name a request is made; the same object for the same credentials. */
  callerOf(exported: Export, credentials: Credentials): Caller {
    if (this.#caller && exported === this.#callerExport && credentials === this.#callerCredentials) return this.#caller
    this.#callerExport = exported
    this.#callerCredentials = credentials
    return (this.#caller = callerOf(exported, credentials))
  }
}
