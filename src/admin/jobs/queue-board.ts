/**
 * bull-board: the inside of the queues, as BullMQ has it, for whoever knows BullMQ. To look at only: jobs are started, cancelled and repeated by the API alone,
 * which keeps one per object and remembers them at every node. So its queues are read-only, and of its routes those that read are served.
 *
 * The package brings an adapter for koa with a hundred packages; this one is a table of routes and a folder of files. Its page is served without the font
 * from elsewhere and the inline style that our policy (CSP) would refuse.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, extname, join } from 'node:path'
import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import type { Queue } from 'bullmq'

type ServerAdapter = Parameters<typeof createBullBoard>[0]['serverAdapter']
type ApiRoute = Parameters<ServerAdapter['setApiRoutes']>[0][number]
type Queues = Parameters<ServerAdapter['setQueues']>[0]
type UiConfig = Parameters<ServerAdapter['setUIConfig']>[0]

export type BoardAnswer = { readonly status: number; readonly type: string; readonly body: string | Buffer }

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
}

export class QueueBoard {
  readonly #base: string
  #queues: Queues = new Map()
  #config: UiConfig = {}
  #routes: readonly { readonly pattern: URLPattern; readonly route: ApiRoute }[] = []
  /** Its files, by path below the board. */
  readonly #files = new Map<string, string>()
  #page = ''

  /** `base`: where it is served, without a slash at its end. */
  constructor(queues: readonly Queue[], base: string) {
    this.#base = base
    const adapter: ServerAdapter = {
      setQueues: (all) => {
        this.#queues = all
        return adapter
      },
      setViewsPath: (folder) => {
        this.#page = readFileSync(join(folder, 'index.ejs'), 'utf8')
        return adapter
      },
      setStaticPath: (path, folder) => {
        for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
          if (!entry.isFile() || types[extname(entry.name)] === undefined) continue
          const file = join(entry.parentPath, entry.name)
          this.#files.set(`${path}${file.slice(folder.length).replaceAll('\\', '/')}`, file)
        }
        return adapter
      },
      setEntryRoute: () => adapter,
      setErrorHandler: () => adapter,
      setApiRoutes: (routes) => {
        this.#routes = routes
          .filter(({ method }) => method === 'get')
          .flatMap((route) =>
            [route.route].flat().map((pathname) => ({ pattern: new URLPattern({ pathname }), route })),
          )
        return adapter
      },
      setUIConfig: (config) => {
        this.#config = config
        return adapter
      },
    }
    createBullBoard({
      queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true, allowRetries: false })),
      serverAdapter: adapter,
      options: {
        uiBasePath: dirname(createRequire(import.meta.url).resolve('@bull-board/ui/package.json')),
        uiConfig: { boardTitle: 'Jobs of the matrix', hideDocsLink: true },
      },
    })
  }

  /** `path`: below the board. Rejects as Redis does. */
  async answer(path: string, query: URLSearchParams): Promise<BoardAnswer> {
    const file = this.#files.get(path)
    if (file !== undefined) return { status: 200, type: types[extname(file)] as string, body: readFileSync(file) }
    if (path.startsWith('/api/')) return this.#api(path, query)
    return { status: 200, type: 'text/html; charset=utf-8', body: this.#entry() }
  }

  async #api(path: string, query: URLSearchParams): Promise<BoardAnswer> {
    for (const { pattern, route } of this.#routes) {
      const match = pattern.exec({ pathname: path })
      if (!match) continue
      const params = Object.fromEntries(
        Object.entries(match.pathname.groups).map(([name, value]) => [name, decodeURIComponent(value ?? '')]),
      )
      const request = { queues: this.#queues, uiConfig: this.#config, query: Object.fromEntries(query) }
      const { status = 200, body } = await route.handler({ ...request, params, body: {}, headers: {} })
      return { status, type: 'application/json', body: JSON.stringify(body) }
    }
    return { status: 404, type: 'application/json', body: '{"error":"nothing is read here"}' }
  }

  #entry(): string {
    const config = JSON.stringify(this.#config).replaceAll('<', '\\u003c').replaceAll('>', '\\u003e')
    const values: Readonly<Record<string, string>> = {
      basePath: `${this.#base}/`,
      title: 'Jobs of the matrix',
      favIconAlternative: 'static/favicon-32x32.png',
      favIconDefault: 'static/images/logo.svg',
      uiConfig: config,
    }
    return this.#page
      .replace(/<link href="https:\/\/fonts[^>]*>/g, '')
      .replace(/<div id="root">[\s\S]*?<\/style>\s*<\/div>/, '<div id="root"></div>')
      .replace(/<%[-=]\s*(\w+)\s*%>/g, (_, name: string) => values[name] ?? '')
  }
}
