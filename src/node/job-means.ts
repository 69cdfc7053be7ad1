/** The engines of this node that jobs drive (admin/jobs). */
import type { JobMeans } from '../admin/index.ts'
import { readLabel } from '../san/index.ts'
import type { NodeCore } from './core.ts'
import type { LocalMounts } from './local-mounts.ts'
import { runMatrix } from './matrix-command.ts'

/** `configFile`: of this node. */
export function jobMeans(configFile: string, core: NodeCore, mounts: LocalMounts): JobMeans {
  const { lunVerbs, fenceDrill, virtualHosts } = core
  return {
    luns: {
      list: async () => (await core.readDatabase()).luns,
      remove: (uuid) => lunVerbs.change({ kind: 'remove', uuid }),
      growLun: (uuid) => lunVerbs.growLun(uuid),
      growFilesystem: (fsid, uuid) => lunVerbs.growFilesystem(fsid, uuid),
      drain: (uuid, limitMs) => lunVerbs.drainLun(uuid, limitMs),
      restore: (filesystem) => lunVerbs.restoreFilesystem(filesystem),
    },
    fence: {
      plan: (node) => fenceDrill.plan(node),
      run: (node, incarnation) => fenceDrill.run(node, incarnation),
    },
    virtualHosts,
    mounts,
    async labels() {
      const damaged: { lun: string; copies: readonly string[] }[] = []
      for (const { label, gate } of core.luns.entries) {
        const read = await readLabel(gate, label.matrixUuid)
        if (read.damaged.length > 0) damaged.push({ lun: label.lunName, copies: read.damaged })
      }
      return damaged
    },
    matrix: (args, options) => runMatrix([...args, '--config', configFile], options),
  }
}
