/** A file that stands for a network cable that is pulled out of a node (`drills = true`): it outlives the node's process, as a real cut does. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export function isNetworkCut(stateDir: string): boolean {
  return existsSync(cutFile(stateDir))
}

export function cutNetwork(stateDir: string): void {
  mkdirSync(stateDir, { recursive: true })
  writeFileSync(cutFile(stateDir), '')
}

export function healNetwork(stateDir: string): void {
  rmSync(cutFile(stateDir), { force: true })
}

function cutFile(stateDir: string): string {
  return join(stateDir, 'network.cut')
}
