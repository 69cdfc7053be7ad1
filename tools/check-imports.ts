/**
 * Holds the floors up: imports run downwards only, other folders are entered by their face, no circles between files.
 * `import type` counts like any import. Prints `file:line: what is wrong`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { FLOORS, floorOf, folderOf, isReal, isWorkerEntry, TOP_FLOOR } from './floors.ts'
import { type Finding, type Import, importsOf, lineOf, printFindings, readSources, type Source } from './source.ts'

export interface Face {
  /** A file, or with a trailing slash a folder, that other folders may import besides the `index.ts` of its folder. */
  path: string
  reason: string
}

export const FACES: Face[] = [
  { path: 'src/base/', reason: 'small independent helpers; one face would pull all of them in' },
  { path: 'src/platform/', reason: 'interfaces, one per file' },
  { path: 'src/admin/api/', reason: 'schemas of the API, for whoever asks it without serving it' },
]

export function checkImports(root: string, faces: Face[] = FACES): Finding[] {
  const sources = readSources(root, ['src', 'test', 'bench', 'tools'])
  const names = new Set(sources.map((source) => source.name))
  const packages = dependencies(root)
  const findings: Finding[] = []
  const graph = new Map<string, { to: string; line: number }[]>()

  for (const source of sources) {
    const edges: { to: string; line: number }[] = []
    graph.set(source.name, edges)
    if (source.name.startsWith('src/') && floorOf(source.name) === undefined) {
      findings.push({ file: source.name, line: 1, message: 'lies on no floor: see the table in tools/floors.ts' })
    }
    for (const found of importsOf(source)) {
      const line = lineOf(source, found.offset)
      const target = resolveImport(source, found)
      const message = target
        ? names.has(target) || existsSync(join(root, target))
          ? judge(source.name, target, found, faces)
          : `there is no ${target}`
        : judgePackage(source.name, found.specifier, packages)
      if (message) findings.push({ file: source.name, line, message })
      if (target && found.kind === 'import' && names.has(target)) edges.push({ to: target, line })
    }
  }
  return [...findings, ...circles(graph)]
}

/** The file an import means, relative to the root; undefined for packages. */
function resolveImport(source: Source, { specifier }: Import): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return posix.normalize(posix.join(posix.dirname(source.name), specifier))
}

function judge(from: string, to: string, { kind }: Import, faces: Face[]): string | undefined {
  if (!from.startsWith('src/')) return undefined
  if (!to.startsWith('src/')) {
    return /^(?:test|bench|tools)\//.test(to) ? `src never imports ${to.split('/')[0]}/ (${to})` : undefined
  }
  const own = floorOf(from)
  const other = floorOf(to)
  if (own === undefined || other === undefined) return undefined
  if (isReal(to) && !isReal(from)) {
    return own >= TOP_FLOOR || isWorkerEntry(from)
      ? undefined
      : `src/platform/real may be imported only by floor ${TOP_FLOOR}, tests and bench: have ${to} handed in through its interface`
  }
  const [ownFolder, otherFolder] = [folderOf(from), folderOf(to)]
  if (ownFolder === otherFolder) return undefined
  if (kind === 'url') {
    // What starts another process may name its entry on the same floor.
    return other > own || (other === own && own < TOP_FLOOR) ? upwards(ownFolder, otherFolder) : undefined
  }
  if (other >= own) return upwards(ownFolder, otherFolder)
  if (otherFolder === 'config' && own < 9) return 'src/config may be imported only from floor 9 up'
  if (to === `src/${otherFolder}/index.ts`) return undefined
  if (faces.some(({ path }) => (path.endsWith('/') ? to.startsWith(path) : to === path))) return undefined
  return `another folder is entered by its face: import src/${otherFolder}/index.ts instead of ${to}`
}

function upwards(from: string, to: string): string {
  const how = FLOORS[from] === FLOORS[to] ? 'a sibling on floor' : 'upwards to floor'
  return `src/${from} (floor ${FLOORS[from]}) must not import src/${to} (${how} ${FLOORS[to]})`
}

function dependencies(root: string): Set<string> | undefined {
  const path = join(root, 'package.json')
  if (!existsSync(path)) return undefined
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(path, 'utf8')) as {
    dependencies?: object
    optionalDependencies?: object
  }
  return new Set([...Object.keys(dependencies), ...Object.keys(optionalDependencies)])
}

function judgePackage(from: string, specifier: string, packages: Set<string> | undefined): string | undefined {
  if (specifier.startsWith('node:')) return undefined
  if (isBuiltin(specifier)) return `write node:${specifier}`
  if (specifier.startsWith('/') || specifier.startsWith('file:')) return `absolute import ${specifier}`
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  if (!from.startsWith('src/') || !packages || packages.has(name)) return undefined
  return `${name} is not among the dependencies in package.json`
}

/** One finding per group of files that import each other in a circle, naming a shortest circle of it. */
function circles(graph: Map<string, { to: string; line: number }[]>): Finding[] {
  const findings: Finding[] = []
  const reported = new Set<string>()
  for (const start of graph.keys()) {
    if (reported.has(start)) continue
    const previous = new Map<string, string>()
    const queue = [start]
    for (const file of queue) {
      for (const { to } of graph.get(file) ?? []) {
        if (previous.has(to)) continue
        previous.set(to, file)
        queue.push(to)
      }
    }
    if (!previous.has(start)) continue
    const path = [start]
    for (let file = previous.get(start)!; file !== start; file = previous.get(file)!) path.unshift(file)
    path.unshift(start)
    for (const file of path) reported.add(file)
    const line = graph.get(start)!.find(({ to }) => to === path[1])!.line
    findings.push({ file: start, line, message: `circle: ${path.join(' -> ')}` })
  }
  return findings
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { root: { type: 'string', default: dirname(dirname(fileURLToPath(import.meta.url))) } },
  })
  const findings = checkImports(values.root)
  printFindings(findings)
  process.exitCode = findings.length > 0 ? 1 : 0
}
