/**
 * How clients find the ports of a node's programs. In this order, unless the configuration wants one of them:
 *
 *  own      our own port mapper, bound to the address that NFS is bound to and to no other
 *  rpcbind  another program of this machine has the port: our services are registered with it
 *  none     neither can be: clients have to name the ports, which the log says how to
 */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Clock } from '../../platform/clock.ts'
import type { Log } from '../../platform/log.ts'
import { CallError, type RpcCaller } from '../rpc/caller.ts'
import { type DatagramOptions, DatagramPort } from '../rpc/datagrams.ts'
import { Programs } from '../rpc/programs.ts'
import { type StreamOptions, StreamPort } from '../rpc/streams.ts'
import type { TableProgram } from '../rpc/table-program.ts'
import { portmapPrograms } from './programs.ts'
import { findRpcbind, Registration, RPCBIND_SOCKETS } from './registration.ts'
import { type Service, Services } from './services.ts'
import { PORTMAP_PROGRAM } from './tables.ts'

export const portmapModes = ['auto', 'own', 'rpcbind', 'off'] as const
export type PortmapMode = (typeof portmapModes)[number]

export type PortmapOptions = {
  readonly mode: PortmapMode
  readonly port: number
  /** Where an rpcbind may listen; default where it does. */
  readonly rpcbindSockets?: readonly string[]
}

export type PortmapperOptions = PortmapOptions & {
  readonly streams: Omit<StreamOptions, 'programs'>
  readonly datagrams: Omit<DatagramOptions, 'programs'>
  readonly caller: RpcCaller
  readonly clock: Clock
  readonly log: Log
}

/** Connections at a time: each is for one question. */
const CONNECTIONS_MAX = 256

export class Portmapper {
  readonly #options: PortmapperOptions
  readonly #streams: StreamPort
  readonly #datagrams: DatagramPort
  readonly #programs: readonly TableProgram<never>[]
  #services = new Services('0.0.0.0', [])
  #registration: Registration | undefined
  #port: number | undefined

  constructor(options: PortmapperOptions) {
    this.#options = options
    const list = portmapPrograms(() => this.#services, options.clock)
    this.#programs = list as readonly TableProgram<never>[]
    const programs = new Programs(list)
    const limits = { ...options.streams.limits, connections: CONNECTIONS_MAX }
    this.#streams = new StreamPort({ ...options.streams, limits, programs })
    this.#datagrams = new DatagramPort({ ...options.datagrams, programs })
  }

  /** Where our own listens; undefined when it does not. */
  get port(): number | undefined {
    return this.#port
  }

  /** Calls of our own, by version and procedure. */
  get calls(): Readonly<Record<string, Readonly<Record<string, number>>>> {
    return Object.fromEntries(this.#programs.map(({ name, calls }) => [name, calls]))
  }

  /** Makes services known that are bound to `host`. Rejects with MatrixError only when the mode leaves no other way. */
  async start(host: string, services: readonly Service[]): Promise<void> {
    const { mode, port, log } = this.#options
    if (mode === 'off') return
    let why = ''
    if (mode !== 'rpcbind') {
      try {
        await this.#listen(host, services)
        log.info({ host, port: this.#port }, 'the port mapper serves')
        return
      } catch (error) {
        if (!isMatrixError(error) || mode === 'own') throw error
        why = error.message
      }
    }
    const failure = await this.#register(new Services(host, services))
    if (failure === undefined) return
    if (mode === 'rpcbind') throw new MatrixError('config', failure)
    log.warn(
      { port, why, rpcbind: failure },
      'no port mapper: clients have to name the ports (mount -o port=…,mountport=…,nolock); free the port, start rpcbind, or set nfs.portmap = "off"',
    )
  }

  async close(): Promise<void> {
    await this.#registration?.remove()
    await this.#streams.close()
    this.#datagrams.destroy()
  }

  abandon(): void {
    this.#streams.abandon()
    this.#datagrams.destroy()
  }

  checkSilence(now: number): void {
    this.#streams.checkSilence(now)
  }

  async #listen(host: string, services: readonly Service[]): Promise<void> {
    const { port } = this.#options
    const bound = await this.#streams.listen(host, port)
    try {
      await this.#datagrams.listen(host, bound)
    } catch (error) {
      await this.#streams.close()
      throw error
    }
    this.#port = bound
    const own = [2, 3, 4].flatMap((version) => [
      { program: PORTMAP_PROGRAM, version, transport: 'tcp' as const, port: bound },
      { program: PORTMAP_PROGRAM, version, transport: 'udp' as const, port: bound },
    ])
    this.#services = new Services(host, [...own, ...services])
  }

  /** Says why it could not be done. */
  async #register(services: Services): Promise<string | undefined> {
    const { caller, log, rpcbindSockets = RPCBIND_SOCKETS } = this.#options
    const path = await findRpcbind(caller, rpcbindSockets)
    if (path === undefined) return `no rpcbind listens at ${rpcbindSockets.join(' or ')}`
    const registration = new Registration({ caller, path, log })
    try {
      if (await registration.add(services)) {
        this.#registration = registration
        log.info({ path }, 'registered with rpcbind')
        return undefined
      }
      await registration.remove()
      return `the rpcbind at ${path} refuses our programs: another one has registered them, or we are not root`
    } catch (error) {
      if (!(error instanceof CallError)) throw error
      await registration.remove()
      return `the rpcbind at ${path} does not answer: ${error.message}`
    }
  }
}
