/** A proxy between a browser and nodes, with a mind of its own. */
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Forwarding = {
  readonly target: () => string
  /** Of the next bytes of a request: false breaks the connection. */
  readonly passes: (asked: IncomingMessage, bytes: number) => boolean
  /** Whether the client gets to see the answer: false breaks the connection instead. */
  readonly answers: (asked: IncomingMessage) => boolean
}

export async function forwarding({
  target,
  passes,
  answers,
}: Forwarding): Promise<{ url: string; close(): Promise<void> }> {
  const proxy = createServer((asked, answer) => {
    const { hostname, port } = new URL(target())
    const { method, url, headers } = asked
    const onward = httpRequest({ hostname, port, method, path: url, headers }, (answered) => {
      if (!answers(asked)) return asked.socket.destroy()
      answer.writeHead(answered.statusCode as number, answered.headers)
      answered.pipe(answer)
    })
    onward.on('error', () => answer.destroy())
    asked.on('data', (chunk: Buffer) => {
      if (!passes(asked, chunk.length)) {
        asked.socket.destroy()
        onward.destroy()
      } else if (!onward.write(chunk)) {
        asked.pause()
        onward.once('drain', () => asked.resume())
      }
    })
    asked.on('end', () => onward.end())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}/`,
    close: async () => {
      proxy.closeAllConnections()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}
