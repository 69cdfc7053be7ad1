/**
 * Brings connections to a loopback port of the client's machine to the virtual host, and their ends back, resets as resets: for a client that can
 * reach loopback alone. Tries each connection once, as long as the system does.
 */
import { connect, createServer, type Socket } from 'node:net'

const [port, host] = process.argv.slice(2) as [string, string]

createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true })
  near.setNoDelay(true)
  join(near, far)
  join(far, near)
}).listen(Number(port), '127.0.0.1')

function join(from: Socket, to: Socket): void {
  from.pipe(to)
  from.on('error', () => to.resetAndDestroy())
  from.on('close', (failed) => {
    if (!failed) to.destroySoon()
  })
}
