/**
 * The network as the mesh sees it: authenticated connections that carry whole frames, in order, until they close. The
 * real one is TCP with TLS-PSK keyed by the matrix secret; the simulator's loses, delays and cuts.
 */

/** Where a peer listens. */
export type PeerAddress = { readonly host: string; readonly port: number }

export function formatAddress({ host, port }: PeerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export interface Connection {
  /** Sends one frame; frames of one connection arrive in order, each once, or the connection closes. Never blocks. */
  send(frame: Uint8Array): void
  /** Closes at once; `onClose` of both ends follows. */
  close(): void
  /** Set once, right after the connection is handed over; the frame is only valid during the call unless copied. */
  onFrame: (frame: Buffer) => void
  /** Called exactly once; nothing arrives afterwards. */
  onClose: (reason: string) => void
}

export interface Listener {
  readonly port: number
  close(): Promise<void>
}

export interface Transport {
  /** Accepts authenticated connections; one that fails to authenticate is logged and dropped, never handed over. */
  listen(address: PeerAddress, accept: (connection: Connection) => void): Promise<Listener>
  /** Rejects with MatrixError 'peer-gone' (nobody listens there), 'no-route', 'timeout' or 'protocol' (wrong secret). */
  connect(address: PeerAddress): Promise<Connection>
}
