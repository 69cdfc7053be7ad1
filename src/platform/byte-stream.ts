/** Plain byte streams to programs of others, such as an iSCSI target: no authentication, no frames. The simulator and tests have their own. */
import type { PeerAddress } from './transport.ts'

export interface ByteStream {
  /**
   * Sends `buffers` one after another; they have to stay as they are until they have left. Never blocks: whoever sends bounds what may wait,
   * by what the protocol allows to be under way.
   */
  write(buffers: readonly Uint8Array[]): void
  /** Ends it at once, with a reset: what has not left this machine never does. `onClose` follows. */
  reset(): void
  /** Set right after the stream is handed over; the chunk stays valid. */
  onData: (chunk: Buffer) => void
  /** Called exactly once; nothing arrives afterwards. */
  onClose: (reason: string) => void
}

export interface Dialer {
  /** Rejects with MatrixError 'peer-gone' (nobody listens there), 'no-route' or 'timeout' (after `limitMs`). */
  dial(address: PeerAddress, limitMs: number): Promise<ByteStream>
}
