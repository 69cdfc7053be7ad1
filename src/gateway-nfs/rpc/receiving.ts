/**
 * One buffer into which the bytes of all connections are received, one chunk at a time.
 *
 * Node gives every received chunk 64 KiB of fresh memory outside its heap. At a gigabyte per second that calls for a full garbage
 * collection every few milliseconds: half of the process's CPU time went there. A socket made with `onread` receives into a buffer
 * of the caller's, but a server makes its sockets without; so the connection's handle moves to a socket of our own.
 */
import { type Server, Socket } from 'node:net'
import { MiB } from '../../base/units.ts'

/** A chunk at most: a call with 1 MiB of data comes in one or two when it has arrived whole. */
const RECEIVE_BYTES = MiB

/** Since a chunk is done with when its handler returns, one buffer serves the whole process. */
const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES)

/** What net.Socket and net.Server keep to themselves: the handle, and the server that counts its connections by socket. */
type Internals = { _handle: object | null; server?: Server; _server?: Server }

/**
 * Takes over a connection that its server (`pauseOnConnect`) has accepted. `received` is called with every chunk, and is done
 * with its bytes when it returns; from then on they are another chunk's. Everything else is as with any socket.
 */
export function receiveInPlace(accepted: Socket, received: (chunk: Buffer) => void): Socket {
  const former = accepted as unknown as Internals
  const callback = (bytes: number): boolean => {
    received(buffer.subarray(0, bytes))
    return true
  }
  const options = { handle: former._handle, allowHalfOpen: true, onread: { buffer, callback } }
  const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
  const { server, _server } = former
  Object.assign(socket, { server, _server })
  former._handle = null
  socket.setNoDelay(true)
  return socket
}
