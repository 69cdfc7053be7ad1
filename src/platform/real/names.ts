/** Host names by the system's resolver, so that /etc/hosts counts, too. */
import { lookup, lookupService, reverse } from 'node:dns/promises'
import type { HostNameService } from '../names.ts'

/** What says "there is none", rather than "nobody answers". */
const ABSENT = new Set(['ENOTFOUND', 'ENODATA', 'EAI_NONAME', 'EAI_NODATA'])

export const realNames: HostNameService = {
  addressesOf: (name) =>
    lookup(name, { all: true }).then((found) => found.map(({ address }) => address), noneWhenAbsent),
  async namesOf(address) {
    // DNS knows all names of an address, the system (with /etc/hosts) one
    const [all, one] = await Promise.all([
      reverse(address).catch(noneWhenAbsent),
      lookupService(address, 0).then(({ hostname }) => [hostname], noneWhenAbsent),
    ])
    return [...new Set([...all, ...one])].filter((name) => name !== address)
  },
}

function noneWhenAbsent(error: NodeJS.ErrnoException): string[] {
  if (ABSENT.has(error.code ?? '')) return []
  throw error
}
