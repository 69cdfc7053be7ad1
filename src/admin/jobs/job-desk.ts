/** What jobs are given of their node, and by way of it of the others. */
import type { AdminHost } from '../admin-host.ts'
import type { Errands } from './errands.ts'
import type { JobMeans } from './job-means.ts'

export type JobDesk = { readonly host: AdminHost; readonly means: JobMeans; readonly errands: Errands }
