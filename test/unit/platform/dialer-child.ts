/** A process for dialer.test.ts: sends more than its peer takes, and ends. */
import { realDialer } from '../../../src/platform/real/dialer.ts'

const [port, how] = process.argv.slice(2)
const stream = await realDialer.dial({ host: '127.0.0.1', port: Number(port) }, 5000)
stream.write([Buffer.alloc(64 * 2 ** 20)], () => {})
setTimeout(() => {
  if (how === 'throw') throw new Error('as it happens')
  process.exit(0)
}, 50)
