/**
 * The HTTP gateways of two nodes, over a real filesystem on LUNs in memory. Inputs are of two kinds:
 *
 *  made      a request made from what HTTP and WebDAV have (requests.ts): it is answered, and by no 500
 *  wrong     one with bytes changed, cut or put in: it is answered like that, or the connection ends
 *
 * A 207 has to be well-formed XML. In between everything is removed, so that trees which copies make do not grow for ever.
 */
import { connect } from 'node:net'
import { SaxesParser } from 'saxes'
import { ROOT_INO } from '../../../src/base/ids.ts'
import { Prng } from '../../../src/base/prng.ts'
import { HttpGateway } from '../../../src/gateway-http/index.ts'
import { removeTree } from '../../../src/gateway-http/tree.ts'
import type { MatrixFs } from '../../../src/metadata/index.ts'
import { realClock } from '../../../src/platform/real/clock.ts'
import { type LocalMatrix, makeLocalMatrix } from '../../helpers/local-matrix.ts'
import { mutate } from '../mutate.ts'
import type { FuzzRun, FuzzTarget } from '../target.ts'
import { type Known, madeRequest } from './requests.ts'

const LANES = 8

export const httpTarget: FuzzTarget = {
  name: 'http',
  about: 'HTTP and WebDAV: requests right and wrong to two nodes, several at a time, over a real filesystem',
  lanes: LANES,
  start: (seed) => HttpFuzz.start(seed),
}

const ROOT = { uid: 0, gid: 0, gids: [] }
const CLEAR_EVERY = 300
const REMEMBERED = 20

class HttpFuzz implements FuzzRun {
  /** Of each lane. */
  readonly #prngs: readonly Prng[]
  readonly #matrix: LocalMatrix
  readonly #gateways: readonly HttpGateway[]
  readonly #ports: readonly number[]
  readonly #known: Known = { tokens: [], uploads: [], etags: [] }

  static async start(seed: number): Promise<HttpFuzz> {
    const matrix = await makeLocalMatrix({ nodes: 2 })
    const gateways = matrix.nodes.map(
      ({ fs }) =>
        new HttpGateway({
          clock: realClock,
          exports: () => [
            { name: 'home', fs, caller: ROOT },
            { name: 'frozen', fs, caller: ROOT, readOnly: true },
          ],
        }),
    )
    const addresses = await Promise.all(gateways.map((gateway) => gateway.listen('127.0.0.1', 0)))
    return new HttpFuzz(
      seed,
      matrix,
      gateways,
      addresses.map(({ port }) => port),
    )
  }

  private constructor(seed: number, matrix: LocalMatrix, gateways: readonly HttpGateway[], ports: readonly number[]) {
    const prng = new Prng(seed)
    this.#prngs = Array.from({ length: LANES }, () => prng.fork())
    this.#matrix = matrix
    this.#gateways = gateways
    this.#ports = ports
  }

  async input(number: number): Promise<string> {
    if (number % CLEAR_EVERY === CLEAR_EVERY - 1) await this.#clear()
    const prng = this.#prngs[number % LANES] as Prng
    const made = madeRequest(prng, this.#known)
    const isWrong = prng.chance(0.3)
    const bytes = isWrong ? mutate(prng, made.bytes, madeRequest(prng, this.#known).bytes) : made.bytes
    const mayBeCut = isWrong || !made.isWhole
    const answer = await exchange(prng.pick(this.#ports), bytes, mayBeCut)
    try {
      this.#judge(answer, mayBeCut)
    } catch (error) {
      throw new Error(`${String(error)}\n${bytes.toString('latin1').slice(0, 2000)}\n→ ${answer.slice(0, 1000)}`)
    }
    return `${made.method}, ${isWrong ? 'wrong' : 'made'}`
  }

  #judge(answer: string, mayBeCut: boolean): void {
    if (answer === '') {
      if (!mayBeCut) throw new Error('no answer')
      return
    }
    // after `100 Continue` comes the answer itself
    const final = answer.replace(/^(?:HTTP\/1\.1 100 Continue\r\n\r\n)+/, '')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(final)?.[1])
    if (final !== '' && !(status >= 200 && status < 600)) throw new Error('no HTTP')
    if (status === 500) throw new Error('an internal error')
    const end = final.indexOf('\r\n\r\n')
    const [head, body] = [final.slice(0, end), final.slice(end + 4)]
    if (status === 207 && !/content-encoding|transfer-encoding: chunked/i.test(head)) needXml(body)
    this.#remember('tokens', /\r\nlock-token: (<[^>\r]*>)/i.exec(head)?.[1])
    this.#remember('etags', /\r\netag: ("[^"\r]*")/i.exec(head)?.[1])
    this.#remember('uploads', /\r\nlocation: (\S+\?upload=\w+)/i.exec(head)?.[1])
  }

  #remember(what: keyof Known, value: string | undefined): void {
    if (value === undefined) return
    this.#known[what].push(value)
    if (this.#known[what].length > REMEMBERED) this.#known[what].shift()
  }

  get #fs(): MatrixFs {
    return this.#matrix.nodes[0]!.fs
  }

  async #clear(): Promise<void> {
    const { entries } = await this.#fs.readdirplus(ROOT, ROOT_INO, 2, 1000)
    for (const { name, inode } of entries) if (inode) await removeTree(this.#fs, ROOT, ROOT_INO, name, inode)
  }

  async check(): Promise<void> {
    const answer = await exchange(
      this.#ports[0] as number,
      Buffer.from('PROPFIND /home/ HTTP/1.1\r\nHost: h\r\nDepth: 1\r\nConnection: close\r\n\r\n'),
      false,
    )
    if (!answer.startsWith('HTTP/1.1 207')) throw new Error(`it serves no more: ${answer.slice(0, 200)}`)
    const underWay = this.#gateways.map((gateway) => gateway.stats().underWay)
    if (underWay.some((count) => count > 0)) throw new Error(`requests are under way for nobody: ${underWay}`)
    const findings = await this.#matrix.check()
    if (findings.length > 0) throw new Error(`the filesystem is not sound: ${JSON.stringify(findings)}`)
  }

  async close(): Promise<void> {
    await Promise.all(this.#gateways.map((gateway) => gateway.close()))
    await this.#matrix.close()
  }
}

/**
 * Sends everything, and gives what has come when the connection ends. With `hangUp` there is nothing more to come: a server that waits for more
 * would wait for ever.
 */
function exchange(port: number, bytes: Buffer, hangUp: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () =>
      hangUp ? socket.end(bytes) : socket.write(bytes),
    )
    socket.on('data', (part) => parts.push(part))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') reject(error)
    })
    socket.on('close', () => resolve(Buffer.concat(parts).toString('latin1')))
    socket.on('end', () => socket.destroy())
  })
}

function needXml(body: string): void {
  const parser = new SaxesParser({ xmlns: true })
  parser.on('error', (error) => {
    throw new Error(`a 207 that is no XML: ${error.message}`)
  })
  parser.write(Buffer.from(body, 'latin1').toString('utf8')).close()
}
