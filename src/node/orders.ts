/** What `matrix` asks of the running node, by its control socket: each order, and what is told of its outcome. */
import type { ControlRequest } from '../../config/index.ts'
import { isFsError, MatrixError } from '../base/errors.ts'
import type { Log, LogLevels } from '../platform/index.ts'
import type { Notifier } from '../services/index.ts'
import type { ControlHandler } from './control.ts'
import type { NodeCore } from './core.ts'
import type { Gateways } from './gateways.ts'
import type { Replications } from './replications.ts'

/** Inodes with byte-range locks that one answer tells of. */
const RANGED_INODES = 50
/** Clients with byte-range locks that one answer tells of. */
const RANGE_CLIENTS = 200
/** A LUN is drained so long before whoever asked hears how far it is, ms. */
const DRAIN_STEP_MS = 1000

export class Orders {
  readonly #core: NodeCore
  readonly #gateways: Gateways
  readonly #notifier: Notifier
  readonly #log: Log
  readonly #logLevels: LogLevels
  readonly #replications: Replications

  constructor(
    core: NodeCore,
    gateways: Gateways,
    {
      notifier,
      replications,
      log,
      logLevels,
    }: {
      readonly notifier: Notifier
      readonly replications: Replications
      readonly log: Log
      readonly logLevels: LogLevels
    },
  ) {
    this.#core = core
    this.#gateways = gateways
    this.#notifier = notifier
    this.#log = log
    this.#logLevels = logLevels
    this.#replications = replications
  }

  /** Rejects with what is told to whoever asked. */
  async answer(request: ControlRequest): ReturnType<ControlHandler> {
    const { mounts, filesystems, exports, admin } = this.#gateways
    switch (request.command) {
      case 'mount':
        filesystems.byHand(request.directory, true)
        return { directory: (await mounts.mount(request.filesystem, request.directory)).directory }
      case 'umount':
        await mounts.unmount(request.directory, request.lazy)
        filesystems.byHand(request.directory, false)
        return {}
      case 'mounts':
        return { mounts: mounts.list.map(({ filesystem, directory }) => ({ filesystem, directory })) }
      case 'exports':
        return { exports: exports.list() }
      case 'reload-exports': {
        const restart = await exports.reload()
        return { exports: exports.list(), restart: [...restart] }
      }
      case 'counters':
        return { counters: { ...this.#core.counters(), ...this.#gateways.counters() } }
      case 'range-locks': {
        const { fs } = this.#mount(request.filesystem)
        const ranges = fs.ranges.status(request.after, RANGED_INODES)
        return { ranges: ranges.map((each) => ({ ...each, holders: [...each.holders], waiters: [...each.waiters] })) }
      }
      case 'range-clients':
        return { rangeClients: this.#mount(request.filesystem).fs.ranges.clients(request.after, RANGE_CLIENTS) }
      case 'free-range-client':
        await this.#freeRangeClient(request.filesystem, request.client)
        return {}
      case 'luns': {
        const { matrixUuid, matrixName, luns, pending } = await this.#core.readDatabase()
        return { luns: { matrixUuid, matrixName, luns: [...luns], ...(pending && { pending: pending.lun.uuid }) } }
      }
      case 'virtual-hosts': {
        const sights = (await this.#core.virtualHosts?.look()) ?? []
        return {
          virtualHosts: sights.map(({ node, nodes, ...sight }) => ({
            ...{ ...sight, nodes: [...nodes] },
            ...(node !== undefined && { node }),
          })),
        }
      }
      case 'move-virtual-host':
        if (!this.#core.virtualHosts)
          throw new MatrixError('not-found', 'the configuration of this node has no [[virtual_hosts]]')
        await this.#core.virtualHosts.move(request.name, request.node)
        return {}
      case 'clear-service':
        if (!this.#core.virtualHosts)
          throw new MatrixError('not-found', 'the configuration of this node has no [[virtual_hosts]]')
        this.#core.virtualHosts.clearFailure(request.name)
        return {}
      case 'notify-rules': {
        const { rules, failure } = this.#notifier.list()
        const listed = rules.map((rule) => ({ ...rule, events: [...rule.events], objects: [...rule.objects] }))
        return { notify: { rules: listed, ...(failure !== undefined && { failure }) } }
      }
      case 'notify-dead':
        return { dead: [...this.#notifier.dead] }
      case 'notify-test':
        return { sent: await this.#notifier.test(request.rule) }
      case 'notify-retry':
        return { again: this.#notifier.retry(request) }
      case 'replications':
        return { replications: this.#replications.list() }
      case 'replicate':
        this.#replications.runNow(request.name)
        return {}
      case 'log-levels':
        return { logLevels: [...this.#logLevels.list()] }
      case 'set-log-level':
        this.#logLevels.set(request.subsystem, request.level)
        return { logLevels: [...this.#logLevels.list()] }
      case 'report':
        return { report: await admin.report(request.place) }
      case 'sql': {
        const { command: _, ...question } = request
        return { sql: await admin.sql(question) }
      }
      case 'jobs':
        return { job: await admin.jobs.list() }
      case 'start-job': {
        const { kind, input, by } = request
        return { job: await admin.jobs.ask({ ask: 'start', kind, input, by }) }
      }
      case 'show-job':
        return { job: await admin.jobs.ask({ ask: 'show', kind: request.kind, id: request.id }) }
      case 'cancel-job':
      case 'retry-job': {
        const { command, kind, id, by } = request
        return { job: await admin.jobs.ask({ ask: command === 'cancel-job' ? 'cancel' : 'retry', kind, id, by }) }
      }
      case 'fence-plan': {
        const { agents, rehearsals, ...life } = await this.#core.fenceDrill.plan(request.node)
        return { plan: { ...life, agents: [...agents], rehearsals: [...rehearsals] } }
      }
      case 'fence-drill':
        return { fenced: await this.#core.fenceDrill.run(request.node) }
      case 'look-at-luns': {
        const looks = await this.#core.lunVerbs.lookEverywhere()
        return {
          looks: looks.map(({ node, sights }) => ({ node, sights: typeof sights === 'string' ? sights : [...sights] })),
        }
      }
      case 'add-lun': {
        const { lun, url } = request
        await this.#core.lunVerbs.change({ kind: 'add', lun, hint: url })
        return {}
      }
      case 'remove-lun':
        await this.#core.lunVerbs.change({ kind: 'remove', uuid: request.uuid })
        return {}
      case 'grow-filesystem':
        return {
          bytes: await this.#core.lunVerbs.growFilesystem(this.#mount(request.filesystem).record.fsid, request.uuid),
        }
      case 'restore-filesystem':
        await this.#core.lunVerbs.restoreFilesystem(request.filesystem)
        return {}
      case 'drain-lun': {
        const { done, leftBytes } = await this.#core.lunVerbs.drainLun(request.uuid, DRAIN_STEP_MS)
        return done ? {} : { left: leftBytes }
      }
      case 'grow-lun':
        return { bytes: await this.#core.lunVerbs.growLun(request.uuid) }
      case 'refill-lun':
        return { bytes: await this.#core.lunVerbs.refillLun(request.uuid) }
    }
  }

  /** Whoever asks is sure that the client is gone. The locks of a local mount end with its node, and only with it. */
  async #freeRangeClient(filesystem: string, client: string): Promise<void> {
    const { ranges } = this.#mount(filesystem).fs
    if (client.startsWith('@'))
      throw new MatrixError('in-use', `${client} is a program at a local mount of a node: its locks go when it ends`)
    try {
      await ranges.releaseClient(client)
    } catch (error) {
      // a node is being recovered, or just was: it has to be asked again
      if (isFsError(error, 'EAGAIN')) throw new MatrixError('view-changed', error.message)
      throw error
    }
    this.#log.warn({ filesystem, client }, 'the byte-range locks of a client were freed by order')
  }

  /** A filesystem that is mounted here. */
  #mount(name: string) {
    const mount = this.#core.mounts.find(({ record }) => record.name === name)
    if (mount) return mount
    const known = this.#core.mounts.map(({ record }) => record.name).join(', ') || 'none'
    throw new MatrixError('not-found', `no filesystem ${name} is in service at this node; it has ${known}`)
  }
}
