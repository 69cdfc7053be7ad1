/**
 * The RPC programs behind one port: takes a call apart as far as its header, finds the program and version that it names, and has it
 * served, or says why that cannot be (RFC 5531 9). The same for streams (connection.ts) and datagrams (datagrams.ts).
 */
import { XdrError, type XdrReader } from '../xdr/reader.ts'
import { type AcceptFailure, type CallHeader, putAcceptFailure, putDenial } from './message.ts'
import type { Program, Session } from './session.ts'

export class Programs {
  readonly #list: readonly Program[]

  constructor(list: readonly Program[]) {
    this.#list = list
  }

  /** Serves the call that `from` holds; false when it is none at all, and nothing was answered. */
  serve(session: Session, header: CallHeader, from: XdrReader): boolean {
    const verdict = header.parse(from)
    if (verdict === 'garbage') return false
    if (verdict === 'ok') this.#call(session, header, from)
    else putDenial(session.replies, header.xid, verdict)
    return true
  }

  #call(session: Session, header: CallHeader, from: XdrReader): void {
    try {
      const failure = this.#find(session, header, from)
      if (failure) putAcceptFailure(session.replies, header.xid, failure)
    } catch (error) {
      if (!(error instanceof XdrError)) throw error
      putAcceptFailure(session.replies, header.xid, { kind: 'garbage-arguments' })
    }
  }

  /** Has the program serve the call, or says why there is none to. Throws XdrError. */
  #find(session: Session, header: CallHeader, from: XdrReader): AcceptFailure | undefined {
    let low = Number.POSITIVE_INFINITY
    let high = 0
    for (const program of this.#list) {
      if (program.number !== header.program) continue
      const { version } = program
      if (version === header.version) {
        if (header.procedure >= program.procedures) return { kind: 'procedure-unavailable' }
        program.serve(session, header, from)
        return undefined
      }
      if (version < low) low = version
      if (version > high) high = version
    }
    return high > 0 ? { kind: 'program-mismatch', low, high } : { kind: 'program-unavailable' }
  }
}
