/**
 * A socket as a byte stream. A process that exits resets all of them: otherwise the system would go on to deliver what it has taken, for minutes
 * where the path is cut, although nobody stands for it any more. One that is killed cannot.
 */
import type { Socket } from 'node:net'
import type { ByteStream } from '../byte-stream.ts'

const open = new Set<Socket>()
process.on('exit', () => {
  for (const socket of open) socket.resetAndDestroy()
})

export type SocketStream = ByteStream & { readonly ended: boolean }

/**
 * `socket` has to be half-open (`allowHalfOpen`): one that begins to shut itself down can be reset no more. What comes is handed on from its 'data'
 * events; a socket that reads by `onread` has none of them.
 */
export function socketStream(socket: Socket): SocketStream {
  let reason: string | undefined
  open.add(socket)
  const stream = {
    get ended(): boolean {
      return reason !== undefined
    },
    write(buffers: readonly Uint8Array[], onSent?: () => void): void {
      if (reason !== undefined || buffers.length === 0) return
      const last = buffers.length - 1
      socket.cork()
      for (let i = 0; i < last; i++) socket.write(buffers[i] as Uint8Array)
      socket.write(buffers[last] as Uint8Array, (error) => {
        if (!error && reason === undefined) onSent?.()
      })
      socket.uncork()
    },
    reset(): void {
      reason ??= 'closed here'
      socket.resetAndDestroy()
    },
    onData: (_chunk: Buffer): void => {},
    place: (): Buffer | undefined => undefined,
    onPlaced: (_bytes: number): void => {},
    onClose: (_reason: string): void => {},
  }
  socket.on('data', (chunk: Buffer) => {
    if (reason === undefined) stream.onData(chunk)
  })
  // half-closed is of no use to anybody: what was to be answered never will be
  socket.on('end', () => {
    reason ??= 'closed by the peer'
    socket.resetAndDestroy()
  })
  socket.on('error', (error) => {
    reason ??= error.message
  })
  socket.on('close', () => {
    open.delete(socket)
    stream.onClose(reason ?? 'closed by the peer')
  })
  return stream
}
