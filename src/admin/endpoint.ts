/** One thing that the API answers, and what it is given for it. */
import type * as v from 'valibot'
import type { Asker } from './access/access.ts'
import type { AdminHost } from './admin-host.ts'
import type { Collector } from './collector.ts'
import type { ImageReader } from './image-reader.ts'
import type { Jobs } from './jobs/jobs.ts'
import type { PathNames } from './path-names.ts'

export type Desk = {
  readonly host: AdminHost
  readonly collector: Collector
  readonly names: PathNames
  readonly reader: ImageReader
  readonly jobs: Jobs
}

export type Endpoint = {
  readonly method: 'get' | 'post'
  /** Below /_admin/api; a part like `:id` stands for any one part. */
  readonly path: string
  /** 'operator': it changes something. 'anybody': nobody has to log in for it. Left out: viewers. */
  readonly role?: 'operator' | 'anybody'
  readonly summary: string
  readonly answer: v.GenericSchema
  /** Of the body of a POST. */
  readonly question?: v.GenericSchema
  /** `body`: the question, checked. `params`: the parts of the path by their names, and `by`: who asks. */
  run(
    desk: Desk,
    query: URLSearchParams,
    body: unknown,
    params: Readonly<Record<string, string>>,
    visit?: Visit,
  ): Promise<unknown>
}

/** Who asks, and his session. Only HTTP has visitors. */
export type Visit = {
  readonly asker: Asker | undefined
  /** Rejects with LoginRefusal. */
  signIn(name: string, password: string): Promise<Asker>
  signOut(): void
}
