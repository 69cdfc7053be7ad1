/**
 * A second real iSCSI target for tests: Debian's `istgt`, in user space, on a loopback port. It has what tgt has not, a COMPARE AND WRITE that is
 * atomic between initiators. It is no array for a matrix: it has a write cache and no FUA, so that our driver refuses it, and a PREEMPT of it leaves
 * the victim in.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'

const PROGRAM = '/usr/sbin/istgt'
const START_MS = 10_000
const LUN_BYTES = 64 * 2 ** 20

/** Why tests with this target cannot run here; undefined when they can. */
export function noIstgt(): string | undefined {
  if (!existsSync(PROGRAM) && spawnSync('which', ['istgt']).status !== 0)
    return 'istgt is missing: apt-get install istgt'
  return undefined
}

export class Istgt {
  static readonly iqn = 'iqn.2026-11.net.matrixfs.test:istgt'
  readonly dir = mkdtempSync(join(tmpdir(), 'matrixfs-istgt-'))
  #child: ChildProcess | undefined
  #port = 0

  get port(): number {
    return this.#port
  }

  /** Its one LUN. */
  get url(): string {
    return `iscsi://127.0.0.1:${this.#port}/${Istgt.iqn}/0`
  }

  async start(): Promise<void> {
    const [port, controlPort] = await Promise.all([freePort(), freePort()])
    this.#port = port
    const image = join(this.dir, 'lun0.img')
    const fd = openSync(image, 'w')
    ftruncateSync(fd, LUN_BYTES)
    closeSync(fd)
    writeFileSync(join(this.dir, 'auth.conf'), '', { mode: 0o600 })
    const config = join(this.dir, 'istgt.conf')
    writeFileSync(config, this.#config(image, port, controlPort))
    const log = join(this.dir, 'log')
    const out = openSync(log, 'w')
    // a test that was killed leaves none behind
    const args = ['--pdeathsig', 'KILL', 'istgt', '-D', '-c', config]
    const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` }
    const child = spawn('setpriv', args, { env, stdio: ['ignore', out, out] })
    closeSync(out)
    this.#child = child
    const begun = performance.now()
    while (!(await answers(port))) {
      if (child.exitCode !== null)
        throw new Error(`istgt has ended with ${child.exitCode}:\n${readFileSync(log, 'utf8')}`)
      if (performance.now() - begun > START_MS) throw new Error('istgt does not start')
      await sleep(50)
    }
  }

  async dispose(): Promise<void> {
    const child = this.#child
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    }
    rmSync(this.dir, { recursive: true, force: true })
  }

  #config(image: string, port: number, controlPort: number): string {
    return `[Global]
  NodeBase "${Istgt.iqn.replace(/:.*/, '')}"
  PidFile ${this.dir}/istgt.pid
  AuthFile ${this.dir}/auth.conf
  MediaDirectory ${this.dir}
  LogFacility "local7"
  Timeout 30
  NopInInterval 20
  DiscoveryAuthMethod None
  MaxSessions 64
  MaxConnections 4
  MaxR2T 32
  MaxOutstandingR2T 16
  FirstBurstLength 262144
  MaxBurstLength 1048576
  MaxRecvDataSegmentLength 262144
  InitialR2T Yes
  ImmediateData Yes
  DataPDUInOrder Yes
  DataSequenceInOrder Yes
  ErrorRecoveryLevel 0
[UnitControl]
  AuthMethod None
  Portal UC1 127.0.0.1:${controlPort}
  Netmask 127.0.0.1
[PortalGroup1]
  Portal DA1 127.0.0.1:${port}
[InitiatorGroup1]
  InitiatorName "ALL"
  Netmask 127.0.0.0/8
[LogicalUnit1]
  TargetName ${Istgt.iqn}
  Mapping PortalGroup1 InitiatorGroup1
  AuthMethod None
  UseDigest Auto
  UnitType Disk
  UnitInquiry "MATRIXFS" "TEST" "0001" "MFS${port}"
  QueueDepth 64
  LUN0 Storage ${image} Auto
`
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port })
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
