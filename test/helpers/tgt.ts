/**
 * A real iSCSI target for tests: Debian's `tgt`, in user space, on a loopback port, with a control socket of its own, so that several run
 * side by side and none is that of the machine. One I/O thread per LUN: then I/O to it is in order, as with an array.
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, truncateSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'

const run = promisify(execFile)
const PROGRAM = '/usr/sbin/tgtd'
const START_MS = 10_000

/** Why tests with a target cannot run here; undefined when they can. */
export function noTgt(): string | undefined {
  if (!existsSync(PROGRAM) && spawnSync('which', ['tgtd']).status !== 0) return 'tgtd is missing: apt-get install tgt'
  return undefined
}

export type TgtOptions = {
  readonly luns?: number
  readonly lunBytes?: number
  /** Of initiators, and what the target proves itself with. */
  readonly chap?: { readonly user: string; readonly secret: string; readonly target?: { user: string; secret: string } }
  readonly blockSize?: number
  /** Where its LUNs are kept. */
  readonly dir?: string | undefined
  /** Takes space back. */
  readonly thin?: boolean
  /** CRC-32C may be negotiated. */
  readonly digests?: boolean
  /** So many, of one group. */
  readonly portals?: number
  /** Folder of the images; otherwise one of its own, which goes with it. */
  readonly images?: string
}

export class Tgt {
  static readonly iqn = 'iqn.2026-11.net.matrixfs.test:t1'
  readonly dir: string
  readonly #options: TgtOptions
  #child: ChildProcess | undefined
  #ports: readonly number[] = []

  constructor(options: TgtOptions = {}) {
    this.#options = options
    this.dir = mkdtempSync(join(options.dir ?? tmpdir(), 'matrixfs-tgt-'))
  }

  get port(): number {
    return this.#ports[0] ?? 0
  }

  /** By all portals. */
  url(lun: number, options = ''): string {
    return `iscsi://${this.#ports.map((port) => `127.0.0.1:${port}`).join()}/${Tgt.iqn}/${lun}${options}`
  }

  image(lun: number): string {
    return join(this.#options.images ?? this.dir, `lun${lun}.img`)
  }

  /** Starts it; again, after `kill`, on the same port and with what the LUNs hold. */
  async start(): Promise<void> {
    const { portals = 1 } = this.#options
    if (this.#ports.length === 0) this.#ports = await Promise.all(Array.from({ length: portals }, () => freePort()))
    const control = join(this.dir, 'ctl')
    for (const suffix of ['', '.0', '.0.lock', '.lock']) rmSync(`${control}${suffix}`, { force: true })
    const args = ['-f', '-t', '1', '--iscsi', this.#ports.map((port) => `portal=127.0.0.1:${port}`).join()]
    // a test that was killed leaves none behind
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'tgtd', ...args], { env: this.#env(), stdio: 'ignore' })
    child.unref() // a script that has ended does not wait for it
    this.#child = child
    const begun = performance.now()
    for (;;) {
      if (child.exitCode !== null) throw new Error(`tgtd has ended with ${child.exitCode}`)
      if ((await this.#answers()) && (await this.#try('--op', 'show', '--mode', 'sys'))) break
      if (performance.now() - begun > START_MS) throw new Error('tgtd does not start')
      await sleep(50)
    }
    await this.#setUp()
  }

  async #setUp(): Promise<void> {
    const { luns = 2, lunBytes = 64 * 2 ** 20, chap, blockSize, digests = false, thin = false } = this.#options
    const tid = ['--tid', '1']
    await this.#admin('--op', 'new', '--mode', 'target', ...tid, '-T', Tgt.iqn)
    for (const name of digests ? ['HeaderDigest', 'DataDigest'] : [])
      await this.#admin('--op', 'update', '--mode', 'target', ...tid, '--name', name, '--value', 'CRC32C')
    for (let lun = 1; lun <= luns; lun++) {
      const image = this.image(lun)
      if (!existsSync(image)) {
        closeSync(openSync(image, 'w'))
        truncateSync(image, lunBytes)
      }
      const size = blockSize ? ['--blocksize', String(blockSize)] : []
      await this.#admin('--op', 'new', '--mode', 'logicalunit', ...tid, '--lun', String(lun), '-b', image, ...size)
      const id = `scsi_sn=MFS${lun},scsi_id=mfs${this.port}-${lun}${thin ? ',thin_provisioning=1' : ''}`
      await this.#admin('--op', 'update', '--mode', 'logicalunit', ...tid, '--lun', String(lun), '--params', id)
    }
    if (chap) {
      const bind = async (user: string, secret: string, way: readonly string[]): Promise<void> => {
        await this.#admin('--op', 'new', '--mode', 'account', '--user', user, '--password', secret)
        await this.#admin('--op', 'bind', '--mode', 'account', ...tid, '--user', user, ...way)
      }
      await bind(chap.user, chap.secret, [])
      if (chap.target) await bind(chap.target.user, chap.target.secret, ['--outgoing'])
    }
    await this.#admin('--op', 'bind', '--mode', 'target', ...tid, '-I', 'ALL')
  }

  /** kill -9, as a power loss of the array: what it has not written to its images is lost. */
  async kill(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.ref()
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  /** As `dispose`, when the process ends. */
  abandon(): void {
    this.#child?.kill('SIGKILL')
    rmSync(this.dir, { recursive: true, force: true })
  }

  async dispose(): Promise<void> {
    await this.kill()
    rmSync(this.dir, { recursive: true, force: true })
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, TGT_IPC_SOCKET: join(this.dir, 'ctl'), PATH: `${process.env['PATH']}:/usr/sbin` }
  }

  async #admin(...args: string[]): Promise<void> {
    await run('tgtadm', ['--lld', 'iscsi', ...args], { env: this.#env(), timeout: START_MS })
  }

  #try(...args: string[]): Promise<boolean> {
    return this.#admin(...args).then(
      () => true,
      () => false,
    )
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = createConnection({ host: '127.0.0.1', port: this.port })
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('close', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
  }
}
