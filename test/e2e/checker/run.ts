/**
 * One run of the checker on a running matrix: what clients share is made, clients of all nodes and protocols work for a while, and when
 * they have ended, what they were told is judged (judge.ts).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { Prng } from '../../../src/base/prng.ts'
import type { Demo, DemoMatrix, DemoNode } from '../demo.ts'
import { HttpClient } from '../http-client.ts'
import { Client } from './client.ts'
import { now } from './clock.ts'
import { wait } from './driver.ts'
import type { Death, Operation } from './history.ts'
import { HttpDriver } from './http-driver.ts'
import type { FromMountWorker, MountJob } from './mount-worker.ts'
import { NfsDriver } from './nfs-driver.ts'
import * as objects from './objects.ts'

export const protocols = ['nfs', 'http', 'mount'] as const
export type Protocol = (typeof protocols)[number]

export type RunOptions = {
  readonly matrix: DemoMatrix
  readonly seconds: number
  readonly protocols: readonly Protocol[]
  /** Per node and protocol. */
  readonly clients: number
  readonly seed: number
  /** Kills a node by SIGKILL and brings it back, in the middle of the run. */
  readonly kill?: Pick<Demo, 'kill' | 'startNode'>
}

export type Recorded = { readonly operations: readonly Operation[]; readonly deaths: readonly Death[] }

/** Clients may take so much longer than the run for their last calls, ms. */
const LAST_CALLS_MS = 60_000
/** A killed node comes back after this part of the run. */
const AWAY = 0.15

export async function run(options: RunOptions): Promise<Recorded> {
  const { matrix, seed } = options
  await prepare(matrix)
  const operations: Operation[] = []
  const record = (operation: Operation) => void operations.push(operation)
  const began = now()
  const until = began + options.seconds * 1000
  const goesOn = () => now() < until
  const hasLogs = options.protocols.includes('mount')
  const workers: ChildProcess[] = []
  const work = matrix.nodes.flatMap((node, n) =>
    options.protocols.map(async (protocol, p) => {
      const names = Array.from(
        { length: options.clients },
        (_, i) => `${protocol[0]}${n + 1}${String.fromCharCode(97 + i)}`,
      )
      const ownSeed = seed * 1000 + n * 100 + p * 10
      if (protocol === 'mount') return mounted({ node, names, seed: ownSeed, until }, record, workers)
      const connect = () => (protocol === 'nfs' ? NfsDriver.connect(node) : HttpDriver.connect(node))
      const own = names.map(
        (name, i) =>
          new Client({
            name,
            node: node.name,
            protocol,
            prng: new Prng(ownSeed + i),
            connect,
            record,
            goesOn,
            hasLogs,
          }),
      )
      await Promise.all(own.map((client) => client.run()))
    }),
  )
  const deaths: Killed[] = []
  const killing = options.kill && killOne(options, options.kill, began, deaths)
  try {
    await Promise.race([Promise.all([...work, killing]), late(until + LAST_CALLS_MS)])
  } finally {
    for (const worker of workers) worker.kill('SIGKILL')
  }
  return { operations: operations.map((operation) => atLife(operation, deaths)), deaths: deaths.map(deathOf) }
}

/** Makes what clients share, anew. */
export async function prepare({ nodes }: DemoMatrix): Promise<void> {
  const client = new HttpClient((nodes[0] as DemoNode).http.url)
  await client.send('DELETE', objects.TOP)
  for (const path of objects.directoriesToMake) {
    const { status } = await client.send('MKCOL', path)
    if (status !== 201) throw new Error(`MKCOL ${path}: ${status}`)
  }
  const empty = Buffer.alloc(objects.BLOCKS * objects.BLOCK_STRIDE)
  for (const file of objects.blockFiles) await client.put(`${objects.TOP}/blocks/${file}`, empty)
  client.close()
}

type Mounted = {
  readonly node: DemoNode
  readonly names: readonly string[]
  readonly seed: number
  readonly until: number
}

async function mounted(
  { node, names, seed, until }: Mounted,
  record: (operation: Operation) => void,
  workers: ChildProcess[],
): Promise<void> {
  if (node.mount === undefined)
    throw new Error(`${node.name} is not mounted: start the demo with --mount, or leave mount out of --protocols`)
  const job: MountJob = { node: node.name, mount: node.mount, clients: names, seed, until }
  const worker = fork(new URL('./mount-worker.ts', import.meta.url), [JSON.stringify(job)], {
    serialization: 'advanced',
    // every client may have a call under way
    env: { ...process.env, UV_THREADPOOL_SIZE: String(4 + 2 * names.length) },
  })
  workers.push(worker)
  await new Promise<void>((resolve, reject) => {
    worker.on('message', (message: FromMountWorker) => {
      if ('operations' in message) for (const operation of message.operations) record(operation)
      else if ('failed' in message) reject(new Error(message.failed))
      else resolve()
    })
    worker.on('exit', (code, signal) =>
      reject(new Error(`the clients of the mount of ${node.name} ended with ${code ?? signal}`)),
    )
  })
}

type Killed = { readonly node: string; readonly at: number; gone: number }

async function killOne(
  { matrix, seconds, seed }: RunOptions,
  demo: NonNullable<RunOptions['kill']>,
  began: number,
  deaths: Killed[],
): Promise<void> {
  const victim = new Prng(seed).pick(matrix.nodes)
  await wait(began + seconds * 400 - now())
  const death: Killed = { node: victim.name, at: now(), gone: Number.POSITIVE_INFINITY }
  deaths.push(death)
  demo.kill(victim.name)
  while (isRunning(victim.pid)) await wait(5)
  death.gone = now()
  await wait(seconds * 1000 * AWAY)
  await demo.startNode(victim.name)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** The life of its node that an operation was done at; what a dead one left open was decided when its process was gone. */
function atLife(operation: Operation, deaths: readonly Killed[]): Operation {
  const own = deaths.filter(({ node }) => node === operation.at)
  const next = own.findIndex(({ at }) => operation.start < at)
  const at = `${operation.at}@${next < 0 ? own.length + 1 : next + 1}`
  const death = own[next]
  if (!death || operation.answer !== undefined) return { ...operation, at }
  return { ...operation, at, end: Math.min(operation.end, Math.max(operation.start, death.gone)) }
}

function deathOf({ node, at }: Killed, index: number, deaths: readonly Killed[]): Death {
  const before = deaths.slice(0, index).filter((other) => other.node === node).length
  return { at: `${node}@${before + 1}`, time: at }
}

async function late(deadline: number): Promise<never> {
  while (now() < deadline) await new Promise((resolve) => setTimeout(resolve, 250).unref())
  throw new Error(`some client had no answer ${LAST_CALLS_MS} ms after the end of the run`)
}
