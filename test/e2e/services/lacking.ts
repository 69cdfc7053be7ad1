/** What this machine lacks for the trial of services. */
import { spawnSync } from 'node:child_process'
import { lacking } from '../vhost/lacking.ts'

export function lackingForServices(): string[] {
  const missing = [...lacking()]
  for (const [program, packageName] of [
    ['nginx', 'nginx-light'],
    ['perl', 'perl-base'],
    ['curl', 'curl'],
  ] as const)
    if (spawnSync(program, ['-v']).error) missing.push(`the program ${program}: apt-get install ${packageName}`)
  return missing
}
