/**
 * Metrics of this node in Prometheus' text format (docs/admin.md lists them). They are read from the node's report when somebody asks, so that what
 * counts is counted in one place; those of the process itself are prom-client's own.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { NodeReport } from './api/node-report.ts'

const PREFIX = 'matrixfs_'

type Labels = Readonly<Record<string, string>>
type Value = { readonly labels: Labels; readonly value: number }
type Metric = {
  readonly name: string
  readonly kind: 'counter' | 'gauge'
  readonly help: string
  readonly labels: readonly string[]
  values(report: NodeReport): readonly Value[]
}

const one = (value: number): readonly Value[] => [{ labels: {}, value }]
const perFilesystem =
  (value: (filesystem: NodeReport['filesystems'][number]) => number) =>
  ({ filesystems }: NodeReport): Value[] =>
    filesystems.map((each) => ({ labels: { filesystem: each.name }, value: value(each) }))
const perIo =
  (
    value: (io: {
      readonly ops: number
      readonly bytes: number
      readonly errors: number
      readonly ms: number
    }) => number,
  ) =>
  ({ luns }: NodeReport): Value[] =>
    luns.flatMap(({ name, io }) =>
      Object.entries(io).map(([kind, counters]) => ({ labels: { lun: name, kind }, value: value(counters) })),
    )
const filesystem = ['filesystem'] as const
const io = ['lun', 'kind'] as const
const SECOND = 1000

/** All but the process's own, in the order in which they are shown. */
export const metrics: readonly Metric[] = [
  {
    ...{ name: 'node_info', kind: 'gauge', labels: ['node', 'version'], help: 'Always 1; which node of which version' },
    values: ({ name, version }) => [{ labels: { node: name, version }, value: 1 }],
  },
  {
    ...{ name: 'view_id', kind: 'gauge', labels: [], help: 'Number of the installed view; 0 before the first' },
    values: ({ view }) => one(view?.id ?? 0),
  },
  {
    ...{ name: 'view_members', kind: 'gauge', labels: [], help: 'Members of the installed view' },
    values: ({ view }) => one(view?.members.length ?? 0),
  },
  {
    ...{
      name: 'is_member',
      kind: 'gauge',
      labels: [],
      help: '1 while the node is a member of a view, 0 while it waits for one',
    },
    values: ({ phase }) => one(phase === 'member' ? 1 : 0),
  },
  {
    ...{ name: 'is_administrator', kind: 'gauge', labels: [], help: '1 while this node is administrator of the SAN' },
    values: ({ administrator, slot }) => one(administrator?.slot === slot ? 1 : 0),
  },
  {
    ...{
      name: 'san_generation',
      kind: 'gauge',
      labels: [],
      help: 'SAN generation under the present administrator; 0 while there is none',
    },
    values: ({ administrator }) => one(administrator?.generation ?? 0),
  },
  {
    ...{ name: 'lease_still_seconds', kind: 'gauge', labels: ['node', 'state'] },
    help: 'For how long a lease sector has shown no sign of life to this node',
    values: ({ leases }) =>
      leases.map(({ node, state, stillMs }) => ({ labels: { node, state }, value: stillMs / SECOND })),
  },
  {
    ...{ name: 'link_up', kind: 'gauge', labels: ['peer'], help: '1 while this node is linked to the peer' },
    values: ({ links }) => links.map(({ name, linked }) => ({ labels: { peer: name }, value: linked ? 1 : 0 })),
  },
  {
    ...{ name: 'lun_up', kind: 'gauge', labels: ['lun', 'state'], help: '1 while the probe of the LUN finds it up' },
    values: ({ luns }) =>
      luns.map(({ name, state }) => ({ labels: { lun: name, state }, value: state === 'up' ? 1 : 0 })),
  },
  {
    ...{
      name: 'lun_path_up',
      kind: 'gauge',
      labels: ['lun', 'path'],
      help: '0 once a path to the LUN has failed, until it works again',
    },
    values: ({ luns }) =>
      luns.flatMap(({ name: lun, paths }) =>
        paths.map(({ name, state }) => ({
          labels: { lun, path: name },
          value: state === 'failed' ? 0 : 1,
        })),
      ),
  },
  {
    ...{
      name: 'lun_operations_total',
      kind: 'counter',
      labels: io,
      help: 'I/O operations of this node on a LUN, by purpose',
    },
    values: perIo(({ ops }) => ops),
  },
  {
    ...{
      name: 'lun_bytes_total',
      kind: 'counter',
      labels: io,
      help: 'Bytes moved by I/O operations of this node on a LUN',
    },
    values: perIo(({ bytes }) => bytes),
  },
  {
    ...{ name: 'lun_errors_total', kind: 'counter', labels: io, help: 'I/O operations of this node that failed' },
    values: perIo(({ errors }) => errors),
  },
  {
    ...{
      name: 'lun_seconds_total',
      kind: 'counter',
      labels: io,
      help: 'Time of the I/O operations, all together; divided by their number it is the mean latency',
    },
    values: perIo(({ ms }) => ms / SECOND),
  },
  {
    ...{
      name: 'filesystem_serving',
      kind: 'gauge',
      labels: filesystem,
      help: '1 while the filesystem serves at this node',
    },
    values: perFilesystem(({ state }) => (state === 'serving' ? 1 : 0)),
  },
  {
    ...{ name: 'filesystem_size_bytes', kind: 'gauge', labels: filesystem, help: 'Size of the filesystem' },
    values: perFilesystem(({ totalBytes }) => totalBytes),
  },
  {
    ...{ name: 'filesystem_free_bytes', kind: 'gauge', labels: filesystem, help: 'Free bytes of the filesystem' },
    values: perFilesystem(({ freeBytes }) => freeBytes),
  },
  {
    ...{ name: 'filesystem_files', kind: 'gauge', labels: filesystem, help: 'Inodes in use' },
    values: perFilesystem(({ totalFiles, freeFiles }) => totalFiles - freeFiles),
  },
  {
    ...{
      name: 'journal_used_bytes',
      kind: 'gauge',
      labels: filesystem,
      help: "Of this node's journal ring, what no two checkpoints cover",
    },
    values: perFilesystem(({ journal }) => journal.used),
  },
  {
    ...{ name: 'journal_size_bytes', kind: 'gauge', labels: filesystem, help: "Size of this node's journal ring" },
    values: perFilesystem(({ journal }) => journal.size),
  },
  {
    ...{
      name: 'journal_written_bytes_total',
      kind: 'counter',
      labels: filesystem,
      help: "Bytes written to this node's journal",
    },
    values: perFilesystem(({ metadata }) => metadata['journalBytesWritten'] ?? 0),
  },
  {
    ...{
      name: 'journal_lag_bytes',
      kind: 'gauge',
      labels: filesystem,
      help: "Bytes of peers' journals that are known durable and not applied here",
    },
    values: perFilesystem(({ lag }) => lag.reduce((total, [, bytes]) => total + bytes, 0)),
  },
  {
    ...{
      name: 'transactions_total',
      kind: 'counter',
      labels: filesystem,
      help: 'Changes of metadata that this node has committed',
    },
    values: perFilesystem(({ metadata }) => metadata['transactions'] ?? 0),
  },
  {
    ...{
      name: 'checkpoint_sequence',
      kind: 'gauge',
      labels: filesystem,
      help: 'Number of the newest checkpoint known here',
    },
    values: perFilesystem(({ checkpoint }) => checkpoint),
  },
  {
    ...{
      name: 'cache_bytes',
      kind: 'gauge',
      labels: [...filesystem, 'state'],
      help: 'File data in memory; dirty data counts in both',
    },
    values: ({ filesystems }) =>
      filesystems.flatMap(({ name, cache }) => [
        { labels: { filesystem: name, state: 'all' }, value: cache['cacheBytes'] ?? 0 },
        { labels: { filesystem: name, state: 'dirty' }, value: cache['dirtyBytes'] ?? 0 },
      ]),
  },
  {
    ...{ name: 'open_files', kind: 'gauge', labels: filesystem, help: 'Files that are open at this node' },
    values: perFilesystem(({ cache }) => cache['openFiles'] ?? 0),
  },
  {
    ...{ name: 'locks_cached', kind: 'gauge', labels: filesystem, help: 'Locks that this node holds' },
    values: perFilesystem(({ locks }) => locks['cached'] ?? 0),
  },
  {
    ...{
      name: 'lock_acquires_total',
      kind: 'counter',
      labels: filesystem,
      help: 'Locks acquired by users at this node',
    },
    values: perFilesystem(({ locks }) => locks['acquired'] ?? 0),
  },
  {
    ...{ name: 'lock_waits_total', kind: 'counter', labels: filesystem, help: 'Lock acquires that had to wait' },
    values: perFilesystem(({ locks }) => locks['waited'] ?? 0),
  },
  {
    ...{
      name: 'lock_surrenders_total',
      kind: 'counter',
      labels: filesystem,
      help: 'Locks given up because another node wanted them, or by age',
    },
    values: perFilesystem(({ locks }) => locks['surrenders'] ?? 0),
  },
  {
    ...{ name: 'lock_handover_total', kind: 'counter', labels: [...filesystem, 'step'] },
    help: 'Parts of handing a lock from node to node, as this node took part in them',
    values: handovers(({ count }) => count),
  },
  {
    ...{
      name: 'lock_handover_seconds_total',
      kind: 'counter',
      labels: [...filesystem, 'step'],
      help: 'Time of the parts of handing locks from node to node, all together',
    },
    values: handovers(({ ms }) => ms / SECOND),
  },
  {
    ...{
      name: 'lock_messages_total',
      kind: 'counter',
      labels: [...filesystem, 'direction'],
      help: 'Lock messages to and from other nodes',
    },
    values: ({ filesystems }) =>
      filesystems.flatMap(({ name, locks }) => [
        { labels: { filesystem: name, direction: 'sent' }, value: locks['messagesSent'] ?? 0 },
        { labels: { filesystem: name, direction: 'received' }, value: locks['messagesReceived'] ?? 0 },
      ]),
  },
  {
    ...{
      name: 'gateway_requests_total',
      kind: 'counter',
      labels: ['protocol', 'operation'],
      help: 'Requests of clients, by protocol and operation',
    },
    values: ({ nfs, http }) => [
      ...Object.entries(nfs?.calls ?? {}).map(([operation, value]) => ({
        labels: { protocol: 'nfs', operation },
        value,
      })),
      ...(http ? [{ labels: { protocol: 'http', operation: 'all' }, value: http.requests }] : []),
    ],
  },
  {
    ...{
      name: 'gateway_failures_total',
      kind: 'counter',
      labels: ['protocol'],
      help: 'Requests over HTTP that were answered with a failure',
    },
    values: ({ http }) => (http ? [{ labels: { protocol: 'http' }, value: http.failures }] : []),
  },
  {
    ...{ name: 'gateway_in_flight', kind: 'gauge', labels: ['protocol'], help: 'Requests that are being worked on' },
    values: ({ nfs, http }) => [
      ...(nfs ? [{ labels: { protocol: 'nfs' }, value: nfs.inFlight }] : []),
      ...(http ? [{ labels: { protocol: 'http' }, value: http.underWay }] : []),
    ],
  },
  {
    ...{ name: 'gateway_connections', kind: 'gauge', labels: ['protocol'], help: 'Connections of NFS clients' },
    values: ({ nfs }) => (nfs ? [{ labels: { protocol: 'nfs' }, value: nfs.connections }] : []),
  },
]

function handovers(value: (step: { readonly count: number; readonly ms: number }) => number) {
  return ({ filesystems }: NodeReport): Value[] =>
    filesystems.flatMap(({ name, handover }) =>
      Object.entries(handover).map(([step, counted]) => ({
        labels: { filesystem: name, step },
        value: value(counted),
      })),
    )
}

export class Metrics {
  readonly #registry = new Registry()
  readonly #shown: readonly { readonly metric: Metric; readonly exported: Counter | Gauge }[]

  constructor() {
    const registers = [this.#registry]
    this.#shown = metrics.map((metric) => {
      const { kind, help, labels } = metric
      const options = { name: `${PREFIX}${metric.name}`, help, labelNames: labels, registers }
      return { metric, exported: kind === 'counter' ? new Counter(options) : new Gauge(options) }
    })
    collectDefaultMetrics({ register: this.#registry, prefix: PREFIX })
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  async text(report: NodeReport): Promise<string> {
    for (const { metric, exported } of this.#shown) {
      // what is gone (a LUN that was removed) has no line any more
      exported.reset()
      for (const { labels, value } of metric.values(report)) exported.inc(labels, value)
    }
    return this.#registry.metrics()
  }

  /** Every name that `text` may have. */
  names(): string[] {
    return this.#registry.getMetricsAsArray().map(({ name }) => name)
  }
}
