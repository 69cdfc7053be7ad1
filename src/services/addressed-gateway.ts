/** What a gateway (floor 9) does for addresses that come and go. Addresses are text as `socket.localAddress` has them, without a mapped prefix. */
export interface AddressedGateway {
  /** Is served there, too, once it resolves; nothing has to be done where it listens on all addresses. Rejects with MatrixError 'in-use' or 'config'. */
  open(address: string): Promise<void>
  /** Takes nothing new that comes to this address; resolves once what was taken is answered, durably where that was asked for. What has not been taken is not answered. */
  drain(address: string): Promise<void>
  /** Connections to this address end with a reset, so that clients look elsewhere at once, and it is no longer listened there. Replies by UDP, too, have this address as their source while it is open. */
  closeAt(address: string): void
}
