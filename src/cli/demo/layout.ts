/**
 * What `matrix demo` keeps below its folder, and which ports it uses.
 *
 *     DIR/demo.json          settings of the kept data (below)
 *     DIR/matrix.json        how to reach the nodes; there only while the demo serves
 *     DIR/secret             the matrix secret
 *     DIR/lun1.img, lun2.img the LUNs, sparse; none with --lun
 *     DIR/run/demo.json      the demo itself: its process, while it runs
 *     DIR/run/n1.json        run file of node n1
 *     DIR/n1.toml            its configuration, written anew at every start
 *     DIR/n1.log             its log
 *     DIR/target.toml, .log  the iSCSI target, its configuration and log (--san)
 *     DIR/n1/                its local image, and where it has found LUNs that were added (luns.json)
 *     DIR/cert.pem, key.pem  of all nodes for HTTPS (--tls)
 *     DIR/mnt/n1/            where it mounts the filesystem (--mount)
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as v from 'valibot'
import { type AddedLun, addedLunsFile, readAddedLuns, replaceFile, writeAddedLuns } from '../../../config/index.ts'
import { MatrixError } from '../../base/errors.ts'

export const MATRIX_NAME = 'demo'
export const FILESYSTEM = 'home'
export const HOST = '127.0.0.1'
export const LUN_NAMES = ['lun1', 'lun2'] as const
export const MAX_NODES = 8
/** The process of the target, and its name in iSCSI. */
export const TARGET = 'target'
const TARGET_NAME = 'iqn.2026-11.net.matrixfs.demo'

const settingsSchema = v.object({
  nodes: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_NODES)),
  basePort: v.pipe(v.number(), v.integer()),
  lunBytes: v.pipe(v.number(), v.integer()),
  /** LUNs that are not made here (--lun); otherwise two files of `lunBytes` are. */
  lunUrls: v.optional(v.array(v.string()), []),
  /** The LUNs are at a target of the demo's own (--san). */
  san: v.optional(v.boolean(), false),
  /** Every node mounts the filesystem on this machine. */
  mount: v.optional(v.boolean(), false),
  /** HTTPS instead of HTTP. */
  tls: v.optional(v.boolean(), false),
  /** The Redis of the jobs; left out: of the administrator's own. */
  redis: v.optional(v.string()),
  /** False until the LUNs are labelled and the filesystem is made: a start that finds it so makes them anew. */
  provisioned: v.boolean(),
})

export type DemoSettings = v.InferOutput<typeof settingsSchema>

export type DemoPorts = {
  readonly mesh: number
  readonly portmap: number
  readonly nfs: number
  readonly http: number
  readonly admin: number
}

export type DemoLun = {
  readonly name: string
  readonly url: string
  /** Of a file that the demo has made. */
  readonly path?: string
}

/** Root of the export at a node. */
export function httpUrl({ basePort, tls }: DemoSettings, number: number): string {
  return `${tls ? 'https' : 'http'}://${HOST}:${portsOf(basePort, number).http}/${FILESYSTEM}/`
}

/** Ports of node `number` (from 1). */
export function portsOf(basePort: number, number: number): DemoPorts {
  const first = basePort + 100 * number
  return { mesh: first + 1, portmap: first + 11, nfs: first + 49, http: first + 80, admin: first + 90 }
}

export function adminUrl(port: number): string {
  return `http://${HOST}:${port}/_admin/`
}

/** The target's two portals. */
export function portalPorts(basePort: number): readonly number[] {
  return [basePort + 60, basePort + 61]
}

function sanUrl(basePort: number, lun: number): string {
  const portals = portalPorts(basePort).map((port) => `${HOST}:${port}`)
  return `iscsi://${portals.join()}/${TARGET_NAME}/${lun}`
}

/** By which the target knows a node. */
export function initiatorOf(node: string): string {
  return `${TARGET_NAME}.${node}`
}

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${index + 1}`)
}

export class DemoLayout {
  /** Absolute. */
  readonly dir: string

  constructor(dir: string) {
    this.dir = resolve(dir)
  }

  get matrixFile(): string {
    return join(this.dir, 'matrix.json')
  }
  get secretFile(): string {
    return join(this.dir, 'secret')
  }
  get runFolder(): string {
    return join(this.dir, 'run')
  }
  /** Certificate and key of --tls. */
  get certFile(): string {
    return join(this.dir, 'cert.pem')
  }
  get keyFile(): string {
    return join(this.dir, 'key.pem')
  }
  get lockFile(): string {
    return join(this.runFolder, 'demo.json')
  }
  get settingsFile(): string {
    return join(this.dir, 'demo.json')
  }
  lunFile(name: string): string {
    return join(this.dir, `${name}.img`)
  }
  luns({ lunUrls, san, basePort }: Pick<DemoSettings, 'lunUrls' | 'san' | 'basePort'>): readonly DemoLun[] {
    if (lunUrls.length > 0) return lunUrls.map((url, index) => ({ name: `lun${index + 1}`, url }))
    return LUN_NAMES.map((name, index) => {
      const path = this.lunFile(name)
      return { name, url: san ? sanUrl(basePort, index + 1) : `file:${path}`, path }
    })
  }
  /** Of the target's control. */
  get targetSocket(): string {
    return join(this.runFolder, `${TARGET}.sock`)
  }
  stateFolder(name: string): string {
    return join(this.dir, name)
  }
  get mountsFolder(): string {
    return join(this.dir, 'mnt')
  }
  mountFolder(name: string): string {
    return join(this.mountsFolder, name)
  }
  configFile(name: string): string {
    return join(this.dir, `${name}.toml`)
  }
  logFile(name: string): string {
    return join(this.dir, `${name}.log`)
  }
  /** Where a log goes that has grown too long. */
  formerLogFile(name: string): string {
    return `${this.logFile(name)}.1`
  }
  runFile(name: string): string {
    return join(this.runFolder, `${name}.json`)
  }

  /** Undefined when no demo has kept data here. */
  readSettings(): DemoSettings | undefined {
    if (!existsSync(this.settingsFile)) return undefined
    const result = v.safeParse(
      v.pipe(v.string(), v.parseJson(), settingsSchema),
      readFileSync(this.settingsFile, 'utf8'),
    )
    if (result.success) return result.output
    throw new MatrixError('config', `${this.settingsFile} is damaged; matrix demo --reset makes everything anew`)
  }

  /** LUNs that were added while the demo ran, as its nodes remember them. */
  addedLuns({ nodes }: DemoSettings): readonly AddedLun[] {
    const all = nodeNames(nodes).flatMap((name) => readAddedLuns(this.stateFolder(name)))
    return all.filter(({ uuid }, index) => all.findIndex((other) => other.uuid === uuid) === index)
  }

  /** A node that is new is told of them. */
  shareAddedLuns(settings: DemoSettings): void {
    const added = this.addedLuns(settings)
    if (added.length === 0) return
    for (const name of nodeNames(settings.nodes)) {
      if (existsSync(addedLunsFile(this.stateFolder(name)))) continue
      mkdirSync(this.stateFolder(name), { recursive: true })
      writeAddedLuns(this.stateFolder(name), added)
    }
  }

  writeSettings(settings: DemoSettings): void {
    replaceFile(this.settingsFile, `${JSON.stringify(settings, null, 2)}\n`)
  }
}

/** Configuration file of node `number` (from 1). */
export function nodeConfigText(settings: DemoSettings, number: number): string {
  const own = portsOf(settings.basePort, number)
  const nodes = nodeNames(settings.nodes).map(
    (name, slot) => `[[nodes]]
name = "${name}"
slot = ${slot}
mesh = "${HOST}:${portsOf(settings.basePort, slot + 1).mesh}"
`,
  )
  const urls =
    settings.lunUrls.length > 0
      ? settings.lunUrls
      : LUN_NAMES.map((name, index) =>
          settings.san
            ? `${sanUrl(settings.basePort, index + 1)}?initiator=${initiatorOf(`n${number}`)}`
            : `file:${name}.img`,
        )
  const luns = urls.map((url) => `[[luns]]\nurl = ${JSON.stringify(url)}\n`)
  const mount = `
[[mounts]]
filesystem = "${FILESYSTEM}"
directory = "mnt/n${number}"
`
  return `# Written by matrix demo at every start: changes here are lost.
[matrix]
name = "${MATRIX_NAME}"
secret_file = "secret"

[node]
name = "n${number}"
state_dir = "n${number}"
${settings.san ? 'drills = true\n\n[fencing]\nagents = ["scsi-pr"]\n' : ''}
${nodes.join('\n')}
${luns.join('\n')}
[nfs]
listen = "${HOST}:${own.nfs}"
portmap = "own"
portmap_port = ${own.portmap}

[http]
listen = "${HOST}:${own.http}"
uid = 0
gid = 0
${settings.tls ? 'tls_cert = "cert.pem"\ntls_key = "key.pem"\n' : ''}

[admin]
listen = "${HOST}:${own.admin}"
anonymous = "operator"
${settings.redis === undefined ? '' : `redis = ${JSON.stringify(settings.redis)}\n`}
[[exports]]
path = "/${FILESYSTEM}"
filesystem = "${FILESYSTEM}"
clients = ["127.0.0.0/8"]
squash = "none"
${settings.mount ? mount : ''}`
}

/** Configuration file of the target. */
export function targetConfigText({ basePort, lunBytes }: DemoSettings): string {
  const portals = portalPorts(basePort).map((port) => `"${HOST}:${port}"`)
  const luns = LUN_NAMES.map(
    (name, index) => `[[luns]]
number = ${index + 1}
path = "${name}.img"
size = ${lunBytes}
`,
  )
  return `# Written by matrix demo at every start: changes here are lost.
name = "${TARGET_NAME}"
portals = [${portals.join(', ')}]
portal_groups = "one"
control = "run/${TARGET}.sock"

${luns.join('\n')}`
}
