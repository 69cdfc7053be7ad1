/**
 * `matrix support`: what helps to find out what is wrong with a matrix, in one archive to send or keep. Whatever cannot be got says so in its place: it is
 * wanted most when little works. Secrets are left out; names of files that are locked at the moment are in it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { arch, cpus, hostname, platform, release, totalmem, uptime } from 'node:os'
import { basename } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Command } from 'commander'
import { eventsFile, loadConfig, programVersion, reportPlaces, timelineFile } from '../../config/index.ts'
import { MatrixError } from '../base/errors.ts'
import { formatSize } from '../base/units.ts'
import { ask, configFile, type NodeOptions, withConfig } from './ask-node.ts'
import { lunUrls } from './lun-options.ts'
import { OfflineMatrix } from './offline-matrix.ts'
import { type JsonOption, say, sayJson, withJson } from './table.ts'
import { type TarEntry, tar } from './tar.ts'

export function supportCommand(): Command {
  return withJson(withConfig(new Command('support')))
    .description('gather what helps to find out what is wrong, without secrets, in one archive')
    .option('--out <file>', 'where it goes (default: matrixfs-support-NODE-TIME.tar.gz, here)')
    .addHelpText(
      'after',
      `
In it: the configuration without secrets, what the LUNs tell (labels, database, leases), and of the running node what the admin plane answers (nodes, LUNs,
filesystems, locks, waits, samples, warnings), its counters and its timeline. A node that does not run leaves the rest as it is.

Example:
  matrix support --config var/demo/n1.toml`,
    )
    .action(support)
}

async function support({ out, json, ...asked }: NodeOptions & JsonOption & { readonly out?: string }): Promise<void> {
  const config = configFile(asked)
  const now = new Date()
  const { node } = loadConfig(config)
  const stamp = now.toISOString().replace(/[-:]/g, '').slice(0, 15)
  const name = `matrixfs-support-${node.name}-${stamp}`
  const file = out ?? `${name}.tar.gz`
  if (existsSync(file)) throw new MatrixError('exists', `${file} is there already; choose another --out`)
  const entries = await gather(config)
  const missing = entries.filter(({ name: entry }) => entry.endsWith('.missing.txt'))
  const archive = gzipSync(
    tar(
      entries.map(({ name: entry, text }) => ({ name: `${name}/${entry}`, text })),
      now.getTime() / 1000,
    ),
  )
  writeFileSync(file, archive, { mode: 0o600, flag: 'wx' })
  const files = entries.length - missing.length
  const without = missing.map(({ name: entry, text }) => ({
    name: entry.replace('.missing.txt', ''),
    why: text.trim(),
  }))
  if (json) return sayJson({ file, bytes: archive.length, files, without })
  say(`${file}: ${files} files, ${formatSize(archive.length)}`)
  for (const { name: entry, why } of without) say(`  without ${entry}: ${why}`)
}

/** Everything there is; of what cannot be got, `NAME.missing.txt` says why. */
async function gather(config: string): Promise<TarEntry[]> {
  const { stateDir } = loadConfig(config)
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
  const answers = reportPlaces.map((place): [string, () => Promise<string>] => [
    `node${place}.json`,
    async () => json((await ask({ config }, { command: 'report', place })).report),
  ])
  const wanted: [string, () => Promise<string>][] = [
    ['machine.json', async () => json(machine())],
    [basename(config), async () => withoutSecrets(readFileSync(config, 'utf8'))],
    ['luns.json', async () => json(await readLuns(config))],
    ['timeline.jsonl', async () => readFileSync(timelineFile(stateDir), 'utf8')],
    ['events.jsonl', async () => readFileSync(eventsFile(stateDir), 'utf8')],
    ['node/counters.json', async () => json((await ask({ config }, { command: 'counters' })).counters)],
    ...answers,
  ]
  const entries: TarEntry[] = []
  for (const [name, get] of wanted) {
    try {
      entries.push({ name, text: await get() })
    } catch (error) {
      entries.push({ name: `${name}.missing.txt`, text: `${error instanceof Error ? error.message : String(error)}\n` })
    }
  }
  return entries
}

function machine(): object {
  const { length: processors, 0: first } = cpus()
  return {
    ...{ matrixfs: programVersion(), node: process.version, at: new Date().toISOString(), host: hostname() },
    ...{ platform: platform(), release: release(), arch: arch(), processors, model: first?.model },
    ...{ memoryBytes: totalmem(), upSeconds: uptime() },
  }
}

async function readLuns(config: string): Promise<object> {
  const matrix = await OfflineMatrix.open(lunUrls({ config }))
  try {
    const luns = matrix.luns.map(({ url, label, damaged }) => ({ url, label, damaged }))
    return { luns, database: await matrix.readDatabase(), nodes: await matrix.nodes() }
  } finally {
    await matrix.close()
  }
}

/** Values of keys that may hold one; where a secret's file is may be known. */
export function withoutSecrets(toml: string): string {
  return toml.replace(
    /(\b["']?(?!\w*_file\b)\w*(?:secret|password|token)\w*["']?\s*=\s*)("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')/gi,
    '$1"(left out)"',
  )
}
