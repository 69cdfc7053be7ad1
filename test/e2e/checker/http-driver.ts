/**
 * By HTTP and WebDAV. What it cannot express is left out (parts of files, hard links); what its server does in several steps is
 * believed no further than each step: a listing says of each name by itself whether it was there, a DELETE of a file that
 * another was faster to remove succeeds, a MOVE may be refused for what its two names were at two moments.
 */
import type { Prng } from '../../../src/base/prng.ts'
import type { DemoNode } from '../demo.ts'
import { type HttpAnswer, HttpClient } from '../http-client.ts'
import { type Driver, NotSent, type Plan, pickPlace, presence, type Told, Unanswered, wait } from './driver.ts'
import type { DirectoryAnswer, DirectoryCall } from './models/directory.ts'
import { BLOCK_STRIDE, fromBlock, fromLog, hasLinks, NAMES, SIDES, TOP, VALUE_BYTES } from './objects.ts'

export class HttpDriver implements Driver {
  readonly durable = true
  readonly #client: HttpClient

  private constructor(client: HttpClient) {
    this.#client = client
  }

  static async connect({ http }: DemoNode): Promise<HttpDriver> {
    return new HttpDriver(new HttpClient(http.url))
  }

  close(): void {
    this.#client.close()
  }

  async readBlock(file: string, block: number): Promise<string> {
    const first = block * BLOCK_STRIDE
    const range = { Range: `bytes=${first}-${first + VALUE_BYTES - 1}` }
    const { body } = await this.#send([206], 'GET', `blocks/${file}`, undefined, range)
    return fromBlock(body)
  }

  async readDocument(name: string): Promise<string> {
    const { status, body } = await this.#send([200, 404], 'GET', `documents/${name}`)
    return status === 200 ? body.toString() : ''
  }

  async prepareDocument(name: string, value: string): Promise<() => Promise<void>> {
    return async () => void (await this.#send([201, 204], 'PUT', `documents/${name}`, Buffer.from(value)))
  }

  async removeDocument(name: string): Promise<boolean | undefined> {
    const { status } = await this.#send([204, 404], 'DELETE', `documents/${name}`)
    return status === 404 ? false : undefined
  }

  async readLog(name: string): Promise<readonly string[]> {
    const { status, body } = await this.#send([200, 404], 'GET', `logs/${name}`)
    return status === 200 ? fromLog(body) : []
  }

  async plan(pair: number, token: string, prng: Prng): Promise<Plan> {
    const [from, to] = [pickPlace(prng, SIDES, NAMES), pickPlace(prng, SIDES, NAMES)]
    const url = `pair${pair}/${from.path}`
    const { path: name } = from
    const simple = (
      call: DirectoryCall,
      send: () => Promise<HttpAnswer>,
      said: Readonly<Record<number, DirectoryAnswer>>,
    ): Plan => ({
      call,
      make: async () => {
        const { status } = await send()
        const answer = said[status]
        if (!answer) throw new Unanswered(`${call.kind} ${name}: ${status}`, true)
        return [{ call, answer }]
      },
    })
    const make = hasLinks(pair) ? 'put' : 'create'
    switch (prng.pick(['put', make, 'mkdir', 'unlink', 'unlink', 'move', 'move', 'lookup', 'list'] as const)) {
      case 'put':
        return simple({ kind: 'put', name, token }, () => this.#send('any', 'PUT', url, Buffer.from(token)), {
          201: {},
          204: {},
          405: { error: 'EISDIR' },
        })
      case 'create': {
        const only = { 'If-None-Match': '*' }
        const put = () => this.#send('any', 'PUT', url, Buffer.from(token), only)
        const call = { kind: 'create', name, exclusive: true, token } as const
        return simple(call, put, { 201: {}, 412: { error: 'EEXIST' }, 405: { error: 'EEXIST' } })
      }
      case 'mkdir':
        return simple({ kind: 'mkdir', name, token }, () => this.#send('any', 'MKCOL', url), {
          201: {},
          405: { error: 'EEXIST' },
        })
      case 'unlink': {
        // Depth: 0 is refused for directories, and never removes a tree
        const remove = () => this.#send('any', 'DELETE', url, undefined, { Depth: '0' })
        const call = { kind: 'unlink', name, tolerant: true } as const
        return simple(call, remove, {
          204: {},
          404: { error: 'ENOENT' },
          400: { error: 'EISDIR' },
          405: { error: 'EISDIR' },
          207: { error: 'EISDIR' },
        })
      }
      case 'move': {
        const destination = new URL(`${TOP}/pair${pair}/${to.path}`, this.#client.base).pathname
        const move = () => this.#send('any', 'MOVE', url, undefined, { Destination: destination, Overwrite: 'F' })
        const call = { kind: 'rename', name, to: to.path, noReplace: true, lookedUp: 'gateway' } as const
        return simple(call, move, {
          201: {},
          404: { error: 'ENOENT' },
          412: { error: 'EEXIST' },
          403: { error: 'EEXIST' },
        })
      }
      case 'lookup': {
        const call = { kind: 'lookup', name } as const
        return {
          call,
          make: async () => {
            const { status, body } = await this.#send([207, 404], 'PROPFIND', url, undefined, { Depth: '0' })
            return [{ call, answer: status === 404 ? { error: 'ENOENT' } : { type: typeOf(body.toString()) } }]
          },
        }
      }
      case 'list':
        return { call: { kind: 'list', directory: from.side }, make: () => this.#list(pair, from.side) }
    }
  }

  async #list(pair: number, side: string): Promise<readonly Told[]> {
    const { body } = await this.#send([207], 'PROPFIND', `pair${pair}/${side}`, undefined, { Depth: '1' })
    const responses = body
      .toString()
      .split(/<(?:[A-Za-z]+:)?response>/)
      .slice(1)
    const seen = responses.map((response) => {
      const href = /<(?:[A-Za-z]+:)?href>([^<]*)</.exec(response)?.[1] ?? ''
      return { name: href.replace(/\/$/, '').split('/').at(-1) as string, type: typeOf(response) }
    })
    // the first is the directory itself, whose name is none of those in it
    return presence(side, NAMES, seen)
  }

  /** An answer of one of `statuses`; "later" is asked again, anything else is no answer. */
  async #send(
    statuses: readonly number[] | 'any',
    method: string,
    path: string,
    body?: Buffer,
    headers?: Record<string, string>,
  ): Promise<HttpAnswer> {
    for (;;) {
      let answer: HttpAnswer
      try {
        answer = await this.#client.send(method, `${TOP}/${path}`, body, headers)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') throw new NotSent(String(error))
        throw new Unanswered(String(error), false)
      }
      if (answer.status === 503) {
        await wait(20)
        continue
      }
      if (statuses !== 'any' && !statuses.includes(answer.status))
        throw new Unanswered(`${method} ${path}: ${answer.status}`, true)
      return answer
    }
  }
}

function typeOf(xml: string): 'file' | 'dir' {
  return /<(?:[A-Za-z]+:)?collection\s*\/>/.test(xml) ? 'dir' : 'file'
}
