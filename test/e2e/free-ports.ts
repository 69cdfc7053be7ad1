/** Base ports for `matrix demo` that nobody uses now. */
import { createServer } from 'node:net'

/** Below the ports that the system hands out by itself (32768 … on Linux), so none of those takes one meanwhile. */
const FIRST = 10_000
const LAST = 31_000

/** A base port whose ports are free for that many nodes. Starts somewhere else in every process. */
export async function freeBasePort(nodes: number): Promise<number> {
  for (let tried = 0; tried < 100; tried++) {
    const base = FIRST + ((process.pid * 911 + tried * 1009) % (LAST - FIRST - 100 * (nodes + 1)))
    const ports = Array.from({ length: nodes }, (_, index) => base + 100 * (index + 1)).flatMap((first) => [
      first + 1,
      first + 11,
      first + 49,
      first + 80,
    ])
    const free = await Promise.all(ports.map(isFree))
    if (free.every(Boolean)) return base
  }
  throw new Error('no free ports for a demo')
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
