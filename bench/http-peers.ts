/**
 * Other WebDAV servers, as one would set them up: Debian's nginx with its dav-ext module, a worker per processor, and Apache with mod_dav. Each
 * serves a folder of its own on the disk of the demo, and is found on a loopback port; nothing of the machine's own configuration is used.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../test/helpers/free-port.ts'

const START_MS = 10_000

export type HttpTarget = {
  readonly name: string
  /** Of a folder that may be written, with a slash at the end. */
  readonly url: string
  /** Of the server; its children count, too. */
  readonly pid: number
}

type Recipe = {
  readonly program: string
  /** Its configuration; `dir` is for all that it keeps, `data` is what it serves. */
  readonly configuration: (port: number, dir: string, data: string) => string
  readonly args: (file: string, dir: string) => readonly string[]
}

const recipes: Readonly<Record<'nginx' | 'apache', Recipe>> = {
  nginx: {
    program: '/usr/sbin/nginx',
    configuration: (port, dir, data) => `load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
daemon off; user root; worker_processes ${availableParallelism()}; pid ${dir}/nginx.pid; error_log ${dir}/error.log warn;
events { worker_connections 512; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; client_max_body_size 0; client_body_buffer_size 64k;
  client_body_temp_path ${dir}/body; dav_ext_lock_zone zone=locks:1m;
  server {
    listen 127.0.0.1:${port};
    location / { root ${data}; dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS; create_full_put_path on; }
  }
}
`,
    args: (file, dir) => ['-c', file, '-p', dir],
  },
  apache: {
    program: '/usr/sbin/apache2',
    configuration: (port, dir, data) => {
      const modules = ['mpm_event', 'authz_core', 'mime', 'dav', 'dav_fs']
      return `ServerRoot ${dir}
Listen 127.0.0.1:${port}
ServerName localhost
PidFile ${dir}/apache.pid
ErrorLog ${dir}/error.log
DefaultRuntimeDir ${dir}
${modules.map((each) => `LoadModule ${each}_module /usr/lib/apache2/modules/mod_${each}.so`).join('\n')}
TypesConfig /dev/null
User nobody
Group nogroup
KeepAlive On
MaxKeepAliveRequests 0
DAVLockDB ${dir}/DavLock
DocumentRoot ${data}
<Directory ${data}>
  Dav On
  Require all granted
</Directory>
`
    },
    args: (file) => ['-DFOREGROUND', '-f', file],
  },
}

export type PeerName = keyof typeof recipes

export function programOf(name: PeerName): string {
  return recipes[name].program
}

export class HttpPeer {
  readonly target: HttpTarget
  readonly #child: ChildProcess

  private constructor(target: HttpTarget, child: ChildProcess) {
    this.target = target
    this.#child = child
  }

  /** `dir`: a folder of its own, for all that it keeps. Rejects with what the server said when it does not start. */
  static async start(name: PeerName, dir: string): Promise<HttpPeer> {
    const { program, configuration, args } = recipes[name]
    const data = join(dir, 'data')
    mkdirSync(data, { recursive: true })
    for (const each of [dir, data]) chmodSync(each, 0o777)
    const port = await freePort()
    const file = join(dir, `${name}.conf`)
    writeFileSync(file, configuration(port, dir, data))
    const child = spawn(program, args(file, dir), { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.on('data', (chunk) => (said += chunk))
    const url = `http://127.0.0.1:${port}/`
    for (const limit = Date.now() + START_MS; ; await sleep(50)) {
      if (
        await fetch(url).then(
          () => true,
          () => false,
        )
      )
        break
      if (child.exitCode !== null || Date.now() > limit) {
        child.kill('SIGKILL')
        throw new Error(`${name} did not start: ${said}${logOf(dir)}`)
      }
    }
    return new HttpPeer({ name, url, pid: child.pid as number }, child)
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await ended
  }
}

function logOf(dir: string): string {
  try {
    return readFileSync(join(dir, 'error.log'), 'utf8')
  } catch {
    return ''
  }
}
