/** Plain byte streams to and from programs of others, such as iSCSI targets and initiators: no authentication, no frames. The simulator and tests have their own. */
import type { Listener, PeerAddress } from './transport.ts'

export interface ByteStream {
  /**
   * Hands `buffers` to the system, one after another, in this very turn as far as it takes them; they have to stay as they are until they have left.
   * `onSent`: nothing of them is in this process any more; what still is can be called back only by `reset`. Not called after the end.
   */
  write(buffers: readonly Uint8Array[], onSent?: () => void): void
  /** Ends it at once, with a reset: what has not left this machine never does. `onClose` follows. Whatever is open when the process exits is reset, too. */
  reset(): void
  /** Set right after the stream is handed over; the chunk is only valid during the call unless copied. */
  onData: (chunk: Buffer) => void
  /**
   * Asked before every read: a place of the reader's own for the bytes to come, so that they are not copied once more. How many have come there
   * `onPlaced` tells, in the same turn in which they are put; `onData` is for what comes when there is none.
   */
  place: () => Buffer | undefined
  onPlaced: (bytes: number) => void
  /** Called exactly once; nothing arrives afterwards. */
  onClose: (reason: string) => void
}

export interface Dialer {
  /** Rejects with MatrixError 'peer-gone' (nobody listens there), 'no-route' or 'timeout' (after `limitMs`). */
  dial(address: PeerAddress, limitMs: number): Promise<ByteStream>
}

export interface ByteListener {
  /** Each stream is handed over before its first byte. Rejects with MatrixError 'in-use' or 'config'. */
  listen(address: PeerAddress, accept: (stream: ByteStream) => void): Promise<Listener>
}
