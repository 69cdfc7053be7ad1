/** Who is at the other end of a connection, with what follows from it and is asked for in every request. */
import { crc32c } from '../../base/crc32c.ts'
import { isPromise, type MaybePromise } from '../../base/maybe-promise.ts'
import {
  admits,
  type ClientFacts,
  type Credentials,
  callerOf,
  type Export,
  type Handle,
  type HostNames,
  isProtected,
  isSealedBy,
  parseAddress,
  type Security,
  type UserGroups,
} from '../../export/index.ts'
import type { Caller } from '../../metadata/index.ts'
import { DATAGRAM_TRANSFER_MAX, TRANSFER_MAX } from '../limits.ts'
import type { ClientReplies } from './replies.ts'
import type { Transport } from './transport.ts'

/** Why a handle is of no use to a client: nothing like it is exported, or not to this client, or only to one that is better protected. */
export type Refusal = 'stale' | 'refused' | 'weak'

export type ClientOptions = {
  /** As the socket says. */
  readonly address: string
  readonly port: number
  readonly transport: Transport
  /** Which of our addresses it speaks to; undefined when that cannot be known. */
  readonly localAddress: string | undefined
  readonly exports: () => readonly Export[]
  readonly replies: ClientReplies
  readonly hosts?: HostNames | undefined
  /** Where users' groups are looked up; else the client says which they are. */
  readonly groups?: UserGroups | undefined
}

const NONE: readonly number[] = []

export class Client implements ClientFacts {
  /** As the socket says, for messages. */
  readonly address: string
  readonly port: number
  readonly transport: Transport
  readonly localAddress: string | undefined
  /** Most bytes of data in one of its calls or replies. */
  readonly transferMax: number
  readonly bytes: Uint8Array
  /** Of the address alone: by it every node knows the client again, whatever port it comes from. */
  readonly id: number
  readonly replies: ClientReplies
  /** How well the connection is protected; grows once. */
  security: Security = 'none'
  readonly #exports: () => readonly Export[]
  readonly #hosts: HostNames | undefined
  readonly #groups: UserGroups | undefined
  /** The export looked up last, under which exports that was, and by which names of hosts. */
  #knownExports: readonly Export[] | undefined
  #knownNames = -1
  #known: Export | undefined
  #callerExport: Export | undefined
  #callerCredentials: Credentials | undefined
  #callerGroups: readonly number[] = NONE
  #caller: Caller | undefined

  constructor(options: ClientOptions) {
    this.address = options.address
    this.port = options.port
    this.transport = options.transport
    this.localAddress = options.localAddress
    this.transferMax = options.transport === 'tcp' ? TRANSFER_MAX : DATAGRAM_TRANSFER_MAX
    this.bytes = parseAddress(options.address) ?? new Uint8Array(16)
    this.id = crc32c(this.bytes)
    this.replies = options.replies
    this.#exports = options.exports
    this.#hosts = options.hosts
    this.#groups = options.groups
  }

  get exports(): readonly Export[] {
    return this.#exports()
  }

  /** Whether any export admits it. */
  get isAdmitted(): boolean {
    return this.#exports().some((each) => admits(each, this))
  }

  isNamed(pattern: string): boolean {
    return this.#hosts?.isNamed(this.bytes, pattern) ?? false
  }

  /** The export that a handle belongs to. */
  exportOf(handle: Handle): Export | Refusal {
    const exports = this.#exports()
    const names = this.#hosts?.version ?? 0
    const known = this.#known
    if (known && exports === this.#knownExports && names === this.#knownNames && isOf(handle, known)) return known
    const candidates = exports.filter((each) => isOf(handle, each))
    const admitting = candidates.filter((each) => admits(each, this))
    const found = admitting.find((each) => isProtected(each, this.security))
    if (!found) return admitting.length > 0 ? 'weak' : candidates.length > 0 ? 'refused' : 'stale'
    this.#knownExports = exports
    this.#knownNames = names
    return (this.#known = found)
  }

  /** The groups in which requests with these credentials are made; a promise when they have to be looked up first. */
  groupsOf(credentials: Credentials): MaybePromise<readonly number[]> {
    if (credentials.flavor === 'none') return NONE
    return this.#groups ? this.#groups.of(credentials.uid) : credentials.gids
  }

  /** In whose name a request is made; the same object for the same credentials. The groups must be known (`groupsOf`). */
  callerOf(exported: Export, credentials: Credentials): Caller {
    const found = this.groupsOf(credentials)
    // forgotten in this moment, among very many users: none are granted
    const groups = isPromise(found) ? NONE : found
    if (
      this.#caller &&
      exported === this.#callerExport &&
      credentials === this.#callerCredentials &&
      groups === this.#callerGroups
    )
      return this.#caller
    this.#callerExport = exported
    this.#callerCredentials = credentials
    this.#callerGroups = groups
    return (this.#caller = callerOf(exported, credentials, groups))
  }
}

function isOf(handle: Handle, { id, fs, key }: Export): boolean {
  if (id !== handle.exportId || fs.fsid !== handle.fsid) return false
  return key ? isSealedBy(handle, key) : handle.seal === undefined
}
