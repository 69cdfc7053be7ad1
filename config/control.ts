/**
 * How `matrix` speaks to the running `matrixd` of this machine: over a Unix socket in its state_dir, which only its owner may open.
 * A line of JSON is a request, a line of JSON its answer, in the order of the requests.
 *
 *     {"command":"mount","filesystem":"home","directory":"/home"}     {"ok":true,"directory":"/home"}
 *     {"command":"umount","directory":"/home","lazy":false}           {"ok":false,"code":"in-use","message":"…"}
 *     {"command":"counters"}                                          {"ok":true,"counters":{"filesystems":{"home":{…}},"luns":{…}}}
 *     {"command":"range-locks","filesystem":"home","after":0}      {"ok":true,"ranges":[…]}     (inodes above `after`; none: that was all)
 *     {"command":"range-clients","filesystem":"home","after":""}    {"ok":true,"rangeClients":[{"client":"nfs:10.0.0.7/build7","inodes":2,"held":3,"waiting":0}]}     (names after `after`)
 *     {"command":"free-range-client","filesystem":"home","client":"nfs:10.0.0.7/build7"}     {"ok":true}
 *     {"command":"luns"}                                              {"ok":true,"luns":{"matrixUuid":"…","matrixName":"demo","luns":[…]}}
 *     {"command":"add-lun","lun":{…},"url":"file:/luns/lun3.img"}     {"ok":true}
 *     {"command":"remove-lun","uuid":"…"}                             {"ok":false,"code":"view-changed","message":"…"}     (ask again)
 *     {"command":"grow-filesystem","filesystem":"home","uuid":"…"}   {"ok":true,"bytes":107374182400}
 *     {"command":"restore-filesystem","filesystem":"home"}            {"ok":false,"code":"in-use","message":"…"}
 *     {"command":"drain-lun","uuid":"…"}                              {"ok":true,"left":4194304}     (goes on when asked again; without `left` it is done)
 *     {"command":"refill-lun","uuid":"…"}                             {"ok":true,"bytes":0}
 *     {"command":"grow-lun","uuid":"…"}                               {"ok":true,"bytes":1073741824}
 *     {"command":"look-at-luns"}                                      {"ok":true,"looks":[{"node":"n1","sights":[{"uuid":"…","path":"/luns/lun1.img","state":"up"}]}]}
 *     {"command":"set-log-level","subsystem":"nfs","level":"debug"}  {"ok":true,"logLevels":[{"subsystem":"nfs","level":"debug","configured":"info"},…]}     (without `level`: as configured)
 *     {"command":"replications"}                                     {"ok":true,"replications":[{"name":"offsite","from":"nfs://…","to":"/backup","everyMs":3600000,"mine":true,…}]}
 *     {"command":"replicate","name":"offsite"}                       {"ok":true}     (it begins now, where it is this node's)
 *     {"command":"report","place":"/waits"}                          {"ok":true,"report":{"waits":[]}}
 *     {"command":"sql","sql":"select count(*) n from inode"}        {"ok":true,"sql":{"node":"n1","filesystem":"home","columns":["n"],"rows":[[7]],…}}
 *     {"command":"fence-plan","node":"n2"}                            {"ok":true,"plan":{"slot":1,"incarnation":4,"agents":["scsi-pr"],"rehearsals":[]}}
 *     {"command":"fence-drill","node":"n2"}                           {"ok":true,"fenced":{"agent":"scsi-pr","ms":1830}}
 *     {"command":"exports"}                                           {"ok":true,"exports":[{"path":"/home","filesystem":"home","directory":"/","clients":["*"],"options":"rw, root squashed"}]}
 *     {"command":"reload-exports"}                                    {"ok":true,"exports":[…],"restart":["http"]}     (what else differs in the file needs a restart)
 *     {"command":"mounts"}                                            {"ok":true,"mounts":[{"filesystem":"home","directory":"/home"}]}
 *     {"command":"virtual-hosts"}                                     {"ok":true,"virtualHosts":[{"name":"files","address":"10.0.0.50","node":"n1",…}]}
 *     {"command":"clear-service","name":"web"}                        {"ok":true}
 *     {"command":"notify-rules"}                                     {"ok":true,"notify":{"rules":[{"name":"pager","target":"script /etc/page","taken":3,…}]}}
 *     {"command":"notify-dead"}                                      {"ok":true,"dead":[{"rule":"pager","event":{…},"reason":"answered with 404",…}]}
 *     {"command":"notify-test","rule":"pager"}                       {"ok":true,"sent":{"how":"taken"}}
 *     {"command":"notify-retry","rule":"pager"}                      {"ok":true,"again":2}
 *     {"command":"move-virtual-host","name":"files","node":"n2"}      {"ok":true}
 *     {"command":"jobs"}                                              {"ok":true,"job":{"available":true,"kinds":[…],"jobs":[…]}}     (as the admin plane answers)
 *     {"command":"start-job","kind":"scrub","input":{"filesystem":"home"},"by":"root"}     {"ok":true,"job":{"job":{"kind":"scrub","id":"home.1c9f02ab",…}}}
 *     {"command":"show-job","kind":"scrub","id":"home.1c9f02ab"}      {"ok":true,"job":{"job":{…},"log":["…"]}}
 */
import { join } from 'node:path'
import * as v from 'valibot'
import { MAX_LUN_URL } from '../src/base/limits.ts'
import { logLevels, subsystems } from '../src/platform/index.ts'
import { replication } from './replication-status.ts'

export function controlSocket(stateDir: string): string {
  return join(stateDir, 'control.sock')
}

/** Longest line, bytes. */
export const CONTROL_LINE_MAX = 65_536

/** What the admin plane answers, by its path in the API (docs/admin.md). */
export const reportPlaces = [
  '/matrix',
  '/luns',
  '/filesystems',
  '/locks',
  '/waits',
  '/exports',
  '/services',
  '/timeline',
  '/samples',
  '/log',
] as const
export type ReportPlace = (typeof reportPlaces)[number]

const lun = v.strictObject({ uuid: v.string(), name: v.string(), size: v.pipe(v.number(), v.safeInteger()) })
const directory = v.pipe(v.string(), v.minLength(1), v.maxLength(4096))

export const controlRequest = v.variant('command', [
  v.strictObject({ command: v.literal('mount'), filesystem: v.string(), directory }),
  v.strictObject({ command: v.literal('umount'), directory, lazy: v.boolean() }),
  v.strictObject({ command: v.literal('mounts') }),
  v.strictObject({ command: v.literal('counters') }),
  v.strictObject({ command: v.picklist(['exports', 'reload-exports']) }),
  v.strictObject({ command: v.literal('luns') }),
  v.strictObject({
    command: v.literal('range-locks'),
    filesystem: v.string(),
    after: v.pipe(v.number(), v.safeInteger()),
  }),
  v.strictObject({ command: v.literal('range-clients'), filesystem: v.string(), after: v.string() }),
  v.strictObject({
    command: v.literal('free-range-client'),
    filesystem: v.string(),
    client: v.pipe(v.string(), v.minLength(1)),
  }),
  v.strictObject({ command: v.literal('look-at-luns') }),
  v.strictObject({ command: v.literal('log-levels') }),
  v.strictObject({ command: v.literal('replications') }),
  v.strictObject({ command: v.literal('replicate'), name: v.string() }),
  v.strictObject({
    command: v.literal('set-log-level'),
    subsystem: v.picklist(subsystems),
    level: v.optional(v.picklist(logLevels)),
  }),
  v.strictObject({ command: v.literal('report'), place: v.picklist(reportPlaces) }),
  v.strictObject({
    command: v.literal('sql'),
    filesystem: v.optional(v.string()),
    sql: v.pipe(v.string(), v.minLength(1), v.maxLength(16_384)),
    maxRows: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
  }),
  v.strictObject({ command: v.picklist(['fence-plan', 'fence-drill']), node: v.string() }),
  v.strictObject({
    command: v.literal('add-lun'),
    lun,
    url: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_LUN_URL)),
  }),
  v.strictObject({ command: v.literal('virtual-hosts') }),
  v.strictObject({ command: v.picklist(['notify-rules', 'notify-dead']) }),
  v.strictObject({ command: v.literal('notify-test'), rule: v.string() }),
  v.strictObject({ command: v.literal('notify-retry'), rule: v.optional(v.string()), event: v.optional(v.string()) }),
  v.strictObject({ command: v.literal('move-virtual-host'), name: v.string(), node: v.string() }),
  v.strictObject({ command: v.literal('clear-service'), name: v.string() }),
  v.strictObject({ command: v.literal('remove-lun'), uuid: v.string() }),
  v.strictObject({ command: v.literal('grow-filesystem'), filesystem: v.string(), uuid: v.string() }),
  v.strictObject({ command: v.literal('restore-filesystem'), filesystem: v.string() }),
  v.strictObject({ command: v.picklist(['drain-lun', 'refill-lun', 'grow-lun']), uuid: v.string() }),
  v.strictObject({ command: v.literal('jobs') }),
  v.strictObject({
    command: v.literal('start-job'),
    kind: v.string(),
    input: v.record(v.string(), v.unknown()),
    by: v.string(),
  }),
  v.strictObject({ command: v.literal('show-job'), kind: v.string(), id: v.string() }),
  v.strictObject({
    command: v.picklist(['cancel-job', 'retry-job']),
    kind: v.string(),
    id: v.string(),
    by: v.string(),
  }),
])
export type ControlRequest = v.InferOutput<typeof controlRequest>

/** Requests that change nothing: the admin plane answers them, too, to whoever may look (docs/admin.md). */
export const lookingRequests: readonly ControlRequest['command'][] = [
  'mounts',
  'counters',
  'exports',
  'luns',
  'look-at-luns',
  'range-locks',
  'range-clients',
  'jobs',
  'log-levels',
  'replications',
  'report',
  'show-job',
  'sql',
  'virtual-hosts',
  'notify-rules',
  'notify-dead',
]

/** The name of what a request is about: that of a LUN, a node, a client and so on; otherwise of the request itself. */
export function objectOf(request: ControlRequest): string {
  const fields = request as Partial<Record<string, unknown>>
  for (const key of ['client', 'name', 'node', 'uuid', 'directory', 'filesystem', 'kind', 'subsystem']) {
    const value = fields[key]
    if (typeof value === 'string') return value
  }
  return request.command === 'add-lun' ? request.lun.name : request.command
}

const sight = v.object({
  uuid: v.string(),
  path: v.optional(v.string()),
  size: v.optional(v.number()),
  state: v.string(),
  reason: v.optional(v.string()),
})
const virtualHost = v.object({
  name: v.string(),
  address: v.string(),
  prefix: v.number(),
  interface: v.string(),
  policy: v.string(),
  node: v.optional(v.string()),
  byHand: v.boolean(),
  nodes: v.array(v.object({ name: v.string(), state: v.string() })),
})
const notifyRule = v.object({
  name: v.string(),
  events: v.array(v.string()),
  objects: v.array(v.string()),
  severity: v.string(),
  target: v.string(),
  taken: v.number(),
  waiting: v.number(),
  dead: v.number(),
  trouble: v.optional(v.string()),
})
const deadDelivery = v.object({
  rule: v.string(),
  event: v.object({ id: v.string(), at: v.number(), kind: v.string(), text: v.string() }),
  at: v.number(),
  reason: v.string(),
  attempts: v.number(),
})
const exportEntry = v.object({
  path: v.string(),
  filesystem: v.string(),
  directory: v.string(),
  clients: v.array(v.string()),
  /** For people. */
  options: v.string(),
})
const range = {
  start: v.number(),
  end: v.number(),
  mode: v.picklist(['shared', 'exclusive']),
  client: v.string(),
  owner: v.string(),
}
const inodeRanges = v.object({
  ino: v.number(),
  held: v.number(),
  waiting: v.number(),
  holders: v.array(v.object(range)),
  waiters: v.array(v.object({ ...range, slot: v.number() })),
})
const rangeClient = v.object({ client: v.string(), inodes: v.number(), held: v.number(), waiting: v.number() })

const levelOfSubsystem = v.object({
  subsystem: v.picklist(subsystems),
  level: v.picklist(logLevels),
  configured: v.picklist(logLevels),
})
const mountEntry = v.object({ filesystem: v.string(), directory: v.string() })

export const controlAnswer = v.variant('ok', [
  v.object({
    ok: v.literal(true),
    directory: v.optional(v.string()),
    mounts: v.optional(v.array(mountEntry)),
    exports: v.optional(v.array(exportEntry)),
    /** Tables of the configuration file that differ from what runs. */
    restart: v.optional(v.array(v.string())),
    /** What has become free. */
    bytes: v.optional(v.number()),
    /** How each node sees the LUNs; or why it does not say. */
    looks: v.optional(v.array(v.object({ node: v.string(), sights: v.union([v.string(), v.array(sight)]) }))),
    virtualHosts: v.optional(v.array(virtualHost)),
    /** Rules of the notifier, and why deliveries are not kept any more. */
    notify: v.optional(v.object({ rules: v.array(notifyRule), failure: v.optional(v.string()) })),
    dead: v.optional(v.array(deadDelivery)),
    /** What became of a notice that was tried: `why` it was not taken. */
    sent: v.optional(v.object({ how: v.string(), why: v.optional(v.string()) })),
    /** Dead deliveries that wait again. */
    again: v.optional(v.number()),
    /** Of each subsystem, now and as configured. */
    logLevels: v.optional(v.array(levelOfSubsystem)),
    replications: v.optional(v.array(replication)),
    /** An answer of the admin plane. */
    report: v.optional(v.unknown()),
    /** Likewise, about jobs. */
    job: v.optional(v.unknown()),
    /** Rows of a query to the image, in the order of the columns. */
    sql: v.optional(
      v.object({
        node: v.string(),
        filesystem: v.string(),
        columns: v.array(v.string()),
        rows: v.array(v.array(v.union([v.null(), v.number(), v.string()]))),
        truncated: v.boolean(),
        ms: v.number(),
      }),
    ),
    /** How a member would be fenced. */
    plan: v.optional(
      v.object({
        slot: v.number(),
        incarnation: v.number(),
        agents: v.array(v.string()),
        rehearsals: v.array(v.object({ agent: v.string(), able: v.boolean(), said: v.string() })),
      }),
    ),
    /** How it was. */
    fenced: v.optional(v.object({ agent: v.string(), ms: v.number() })),
    /** Bytes on a LUN that is being drained. */
    left: v.optional(v.number()),
    /** Whatever this version counts, by part. */
    counters: v.optional(v.record(v.string(), v.unknown())),
    /** Byte-range locks by inode: the first of those held and waited for, and how many there are. `slot`: where somebody waits. */
    ranges: v.optional(v.array(inodeRanges)),
    /** Who has byte-range locks, or waits for some. */
    rangeClients: v.optional(v.array(rangeClient)),
    /** As the membership database has them. `pending`: the UUID of one that is being added or removed. */
    luns: v.optional(
      v.object({
        matrixUuid: v.string(),
        matrixName: v.string(),
        luns: v.array(lun),
        pending: v.optional(v.string()),
      }),
    ),
  }),
  /** `code`: that of a MatrixError. */
  v.object({ ok: v.literal(false), code: v.string(), message: v.string() }),
])
export type ControlAnswer = v.InferOutput<typeof controlAnswer>

/** What was asked for: of each request the parts that are its own. */
export const controlResult = controlAnswer.options[0]
export type ControlResult = v.InferOutput<typeof controlResult>
