/** A matrix as its running nodes tell of it, asked of one of them: what `matrix status --node` and `matrix fs list --node` show. */
import {
  type Filesystems,
  filesystems as filesystemsAnswer,
  type Luns,
  luns as lunsAnswer,
  type Matrix,
  matrix as matrixAnswer,
} from '../admin/api/answers.ts'
import { formatSize } from '../base/units.ts'
import { ask, type NodeOptions, planeOf, report } from './ask-node.ts'
import type { LunOptions } from './lun-options.ts'
import { UsageError } from './option-values.ts'
import { formatTable } from './table.ts'
import { describeVirtualHosts, type VirtualHostSights } from './vhost-command.ts'

/** Whether a node is to be asked, instead of LUNs being read. Throws UsageError when both are said. */
export function asksNode(options: LunOptions & NodeOptions): boolean {
  const { lun, dir, node } = options
  if (node !== undefined && (lun !== undefined || dir !== undefined))
    throw new UsageError('say what is asked by one of --node, --lun, --config and --dir')
  return lun === undefined && dir === undefined && planeOf(options) !== undefined
}

export type RunningStatus = {
  readonly matrix: Matrix
  readonly luns: Luns['luns']
  readonly filesystems: Filesystems['filesystems']
  readonly virtualHosts: VirtualHostSights
}

export async function runningStatus(node: NodeOptions): Promise<RunningStatus> {
  const [matrix, { luns }, filesystems, { virtualHosts = [] }] = await Promise.all([
    report(node, '/matrix', matrixAnswer),
    report(node, '/luns', lunsAnswer),
    runningFilesystems(node),
    ask(node, { command: 'virtual-hosts' }),
  ])
  return { matrix, luns, filesystems, virtualHosts }
}

export async function runningFilesystems(node: NodeOptions): Promise<Filesystems['filesystems']> {
  return (await report(node, '/filesystems', filesystemsAnswer)).filesystems
}

export function describeRunning({ matrix, luns, filesystems, virtualHosts }: RunningStatus): string {
  const { name, san, sanError, view, administrator, nodes, answeredBy } = matrix
  const head = [
    `matrix ${name}, as node ${answeredBy} tells of it`,
    san ? `SAN generation ${san.generation}` : `the membership database cannot be read: ${sanError}`,
    view ? `view ${view.id}` : 'no view',
    `administrator ${administrator?.node ?? 'none'}`,
  ]
  const nodeRows = nodes.map(({ node, slot, state, answered, error, lease }) => [
    node,
    String(slot),
    answered || state !== 'member' ? state : `${state}, does not answer: ${error}`,
    lease ? `pid ${lease.pid} on ${lease.host}` : '-',
  ])
  const lunRows = luns.map((lun) => [
    lun.name,
    formatSize(lun.sizeBytes),
    lun.state,
    lun.use.map(({ filesystem, draining }) => `${filesystem}${draining ? ' (draining)' : ''}`).join(', ') || '-',
  ])
  return [
    head.join(', '),
    formatTable(['node', 'slot', 'state', 'process'], nodeRows),
    formatTable(['LUN', 'size', 'state', 'filesystem'], lunRows),
    describeRunningFilesystems(filesystems),
    ...(virtualHosts.length > 0 ? [describeVirtualHosts(virtualHosts)] : []),
  ].join('\n\n')
}

export function describeRunningFilesystems(filesystems: Filesystems['filesystems']): string {
  if (filesystems.length === 0) return 'no filesystems'
  const rows = filesystems.map(({ name, luns, totalBytes, freeBytes, files, state, error }) => [
    name,
    luns.join(', '),
    formatSize(totalBytes),
    formatSize(freeBytes),
    String(files),
    error ?? state,
  ])
  return formatTable(['filesystem', 'LUNs', 'size', 'free', 'files', 'state'], rows)
}
