/** The answers of the API about the whole matrix. Whoever reads them finds every node in each: with what it said, or why it said nothing. */
import * as v from 'valibot'
import { replication } from '../../../config/replication-status.ts'
import { hostReport, keptMount, lockReport, nodeReport, sample, serviceReport } from './node-report.ts'
import { count, nodeAnswer, time } from './values.ts'

const nullableText = v.nullable(v.string())

/** GET /matrix */
export const matrix = v.object({
  name: v.string(),
  /** Who answers, with its version, and when. */
  answeredBy: v.string(),
  version: v.string(),
  at: time,
  /** Of the membership database; null with why not while it cannot be read. */
  san: v.nullable(v.object({ uuid: v.string(), generation: count, term: count, pending: nullableText })),
  sanError: nullableText,
  view: v.nullable(v.object({ id: count, phase: v.string() })),
  administrator: v.nullable(v.object({ node: v.string(), term: count, generation: count })),
  nodes: v.array(
    v.object({
      ...nodeAnswer.entries,
      slot: count,
      /** 'member' of the view; 'silent' with a lease that is in use, and outside of it; 'down', given back. */
      state: v.picklist(['member', 'silent', 'down']),
      lease: v.nullable(
        v.object({ state: v.string(), stillMs: count, host: v.string(), pid: count, address: v.string() }),
      ),
      report: v.nullable(nodeReport),
    }),
  ),
})
export type Matrix = v.InferOutput<typeof matrix>
export type MatrixNode = Matrix['nodes'][number]

/** GET /luns */
export const luns = v.object({
  luns: v.array(
    v.object({
      uuid: v.string(),
      name: v.string(),
      sizeBytes: count,
      /** The worst that a node finds. */
      state: v.string(),
      /** Which filesystem lies on it, and how: 'first' carries journals and checkpoints. */
      use: v.array(v.object({ filesystem: v.string(), part: v.picklist(['first', 'data']), draining: v.boolean() })),
      /** As every node sees it. */
      sights: v.array(
        v.object({
          ...nodeAnswer.entries,
          state: nullableText,
          /** What the device calls itself there. */
          device: nullableText,
          sizeBytes: v.nullable(count),
          reason: nullableText,
          paths: v.array(v.object({ name: v.string(), state: v.string(), reason: nullableText, forMs: count })),
        }),
      ),
    }),
  ),
})
export type Luns = v.InferOutput<typeof luns>

/** GET /filesystems */
export const filesystems = v.object({
  filesystems: v.array(
    v.object({
      name: v.string(),
      fsid: count,
      /** 'serving' when it does at every node that answered. */
      state: v.picklist(['serving', 'recovering', 'error']),
      error: nullableText,
      luns: v.array(v.string()),
      slots: count,
      totalBytes: count,
      freeBytes: count,
      files: count,
      maxFiles: count,
      checkpoint: count,
      nodes: v.array(
        v.object({
          ...nodeAnswer.entries,
          slot: count,
          state: nullableText,
          /** Bytes of peers' journals that it has not applied. */
          lagBytes: count,
          journalUsed: count,
          journalSize: count,
        }),
      ),
      /** Up to where each node has applied each slot's journal, and where that one durably ends. */
      journals: v.array(
        v.object({
          slot: count,
          node: nullableText,
          end: v.nullable(count),
          applied: v.array(v.object({ node: v.string(), lsn: count })),
        }),
      ),
    }),
  ),
})
export type Filesystems = v.InferOutput<typeof filesystems>

/** GET /locks */
export const locks = v.object({
  masters: v.array(nodeAnswer),
  locks: v.array(
    v.object({
      ...lockReport.entries,
      /** Of an inode: where it is found, as far as that is known. */
      path: nullableText,
      /** What it covers, in words. */
      meaning: v.string(),
      holders: v.array(v.object({ node: v.string(), mode: v.string(), absent: v.boolean() })),
      waiters: v.array(
        v.object({ node: v.string(), mode: v.string(), converting: v.boolean(), parked: v.boolean(), ageMs: count }),
      ),
    }),
  ),
})
export type Locks = v.InferOutput<typeof locks>
export type Lock = Locks['locks'][number]

/** GET /waits: who waits for what, the longest first. Empty: nobody waits. */
export const waits = v.object({
  waits: v.array(
    v.object({
      kind: v.picklist(['lock', 'view', 'recovery', 'lun', 'node', 'filesystem']),
      /** Who waits. */
      who: v.string(),
      /** For whom or what: names of nodes or LUNs; may be none. */
      on: v.array(v.string()),
      /** The whole of it as a sentence. */
      what: v.string(),
      path: nullableText,
      forMs: v.nullable(count),
    }),
  ),
})
export type Waits = v.InferOutput<typeof waits>

/** GET /exports */
export const exportsAnswer = v.object({
  nodes: v.array(
    v.object({
      ...nodeAnswer.entries,
      nfs: nodeReport.entries.nfs,
      http: nodeReport.entries.http,
      exports: nodeReport.entries.exports,
      mounts: nodeReport.entries.mounts,
    }),
  ),
})

/** GET /services: virtual hosts, and what is looked after for them. */
export const services = v.object({
  virtualHosts: v.array(
    v.object({
      name: v.string(),
      address: v.string(),
      policy: v.string(),
      /** Who bears it, and whether a person has put it there. */
      node: nullableText,
      byHand: v.boolean(),
      /** Who may bear it. */
      order: v.array(v.string()),
      /** As each node says that has it in its configuration. */
      nodes: v.array(
        v.object({
          node: v.string(),
          bears: hostReport.entries.bears,
          serves: hostReport.entries.serves,
          failing: hostReport.entries.failing,
          barred: hostReport.entries.barred,
          reason: hostReport.entries.reason,
        }),
      ),
    }),
  ),
  nodes: v.array(v.object({ ...nodeAnswer.entries, services: v.array(serviceReport), mounts: v.array(keptMount) })),
})
export type Services = v.InferOutput<typeof services>

/** GET /replications: each where it is run now, or where somebody has it in his configuration. */
export const replicationsAnswer = v.object({
  replications: v.array(v.object({ ...replication.entries, at: nullableText })),
})

/** One step of a change of membership, or what became of a LUN. */
export const timelineEntry = v.object({
  view: count,
  node: v.string(),
  step: v.string(),
  startedAt: time,
  durationMs: count,
  outcome: v.string(),
})
export type TimelineStep = v.InferOutput<typeof timelineEntry>

/** GET /timeline: oldest first. */
export const timeline = v.object({ entries: v.array(timelineEntry) })

/** GET /samples */
export const samplesAnswer = v.object({
  everyMs: count,
  nodes: v.array(v.object({ ...nodeAnswer.entries, slot: count, samples: v.array(sample) })),
})
export type SamplesAnswer = v.InferOutput<typeof samplesAnswer>

/** GET /log: warnings and errors of the node that answers, oldest first. */
export const logAnswer = v.object({
  node: v.string(),
  lines: v.array(v.object({ at: time, level: v.picklist(['warn', 'error']), message: v.string(), fields: v.string() })),
})

/** POST /sql */
export const sqlQuestion = v.strictObject({
  filesystem: v.optional(v.pipe(v.string(), v.maxLength(64))),
  sql: v.pipe(v.string(), v.minLength(1), v.maxLength(16_384)),
  maxRows: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
})
export const sqlAnswer = v.object({
  node: v.string(),
  filesystem: v.string(),
  columns: v.array(v.string()),
  rows: v.array(v.array(v.union([v.null(), v.number(), v.string()]))),
  truncated: v.boolean(),
  ms: count,
})
export type SqlAnswer = v.InferOutput<typeof sqlAnswer>

/** Whatever is refused, with any status of 4xx and 5xx. */
export const failure = v.object({ error: v.object({ code: v.string(), message: v.string() }) })
