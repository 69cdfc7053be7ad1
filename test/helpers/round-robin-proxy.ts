/** An HTTP proxy in front of several nodes that sends each request to the next of them, as a load balancer without any affinity would. */
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hasBody } from '../../src/gateway-http/request-body.ts'

export type RoundRobin = {
  readonly url: string
  /** Requests that each node got. */
  readonly counts: readonly number[]
  close(): Promise<void>
}

export async function roundRobin(urls: readonly string[]): Promise<RoundRobin> {
  const counts = urls.map(() => 0)
  let turn = 0
  const server = createServer((req, res) => {
    const node = turn++ % urls.length
    counts[node] = (counts[node] as number) + 1
    const { hostname, port } = new URL(urls[node] as string)
    const { method, url: path, headers } = req
    const forward = httpRequest({ host: hostname, port, method, path, headers, agent: false }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      answer.pipe(res)
    })
    forward.on('error', () => res.destroy())
    // a client that waits for `100 Continue` has been told to go on by this server
    if (hasBody(req)) req.pipe(forward)
    else forward.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    counts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
