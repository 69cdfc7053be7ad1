/** What this machine lacks for virtual hosts in network namespaces, each with how to get it; empty when nothing. */

import { isProgram } from '../../../src/platform/real/programs.ts'
import { missing } from '../cluster/commands.ts'

export function lacking(): string[] {
  // /dev/fuse is for the SAN switch of the cluster test alone
  const out = missing().filter((line) => !line.startsWith('/dev/fuse'))
  if (!['/usr/bin/arping', '/usr/sbin/arping'].some(isProgram))
    out.push('the program arping: apt-get install iputils-arping')
  if (!isProgram('/usr/bin/nfs-cp')) out.push('nfs-cp and nfs-cat: apt-get install libnfs-utils')
  return out
}
