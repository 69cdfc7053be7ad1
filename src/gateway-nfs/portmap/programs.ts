/**
 * Our own port mapper (RFC 1833): version 2, which every NFS client asks, and rpcbind's versions 3 and 4. It tells of the programs of this
 * node and of nothing else, and only tells: SET and UNSET are answered with false, whoever asks. What would have it call others
 * (CALLIT, BCAST, INDIRECT) is not offered.
 */
import type { Clock } from '../../platform/clock.ts'
import type { Client } from '../rpc/client.ts'
import type { Program } from '../rpc/session.ts'
import { type Handlers, TableProgram } from '../rpc/table-program.ts'
import { plainAddress } from '../rpc/transport.ts'
import type { Services } from './services.ts'
import * as p from './tables.ts'

/** Room for all services in all their forms. */
const LIST_BYTES = 8192
const TCP = 'tcp'
const UDP = 'udp'
/** nc_semantics (RFC 1833 2.2.1, netconfig): datagrams; a stream that closes orderly. */
const SEMANTICS = { udp: 1, tcp: 3 } as const
const MS_PER_S = 1000

/** Versions 2, 3 and 4. */
export function portmapPrograms(services: () => Services, clock: Clock): readonly Program[] {
  return [
    version2(services, clock),
    rpcbind(p.RPCBIND_V3, p.rpcbind3Procedures, services, clock),
    rpcbind(p.RPCBIND_V4, p.rpcbind4Procedures, services, clock),
  ]
}

function version2(services: () => Services, clock: Clock): Program {
  return new TableProgram({
    ...{ name: 'portmap', number: p.PORTMAP_PROGRAM, version: p.PORTMAP_V2, clock },
    table: p.portmapProcedures,
    handlers: {
      NULL: () => {},
      SET: () => false,
      UNSET: () => false,
      GETPORT: ({ program, version, protocol }) => {
        const transport = protocol === p.IPPROTO_TCP ? TCP : protocol === p.IPPROTO_UDP ? UDP : undefined
        const found = transport && services().find(program, version, transport)
        return found && services().overIpv4.includes(found) ? found.port : 0
      },
      DUMP: () =>
        services().overIpv4.map(({ program, version, transport, port }) => ({
          ...{ program, version, port },
          protocol: transport === TCP ? p.IPPROTO_TCP : p.IPPROTO_UDP,
        })),
    },
    resultBytes: { DUMP: LIST_BYTES },
  })
}

/** Version 3's table is a part of version 4's; handlers of what it has not are not asked for. */
function rpcbind<T extends Partial<typeof p.rpcbind4Procedures>>(
  version: number,
  table: T,
  services: () => Services,
  clock: Clock,
): Program {
  const handlers: Handlers<typeof p.rpcbind4Procedures> = {
    NULL: () => {},
    SET: () => false,
    UNSET: () => false,
    GETADDR: (asked, { session }) => addressOf(services(), asked, session.client, false),
    DUMP: (_, { session }) =>
      services().list.flatMap((service) =>
        services()
          .netidsOf(service)
          .map((netid) => ({
            ...{ program: service.program, version: service.version, netid },
            address: services().addressOf(service, netid, localAddressOf(session.client), ''),
            owner: 'matrixd',
          })),
      ),
    GETTIME: () => Math.floor(clock.wall() / MS_PER_S),
    GETVERSADDR: (asked, { session }) => addressOf(services(), asked, session.client, true),
    GETADDRLIST: ({ program, version: wanted }, { session }) =>
      services()
        .list.filter((each) => each.program === program && each.version === wanted)
        .flatMap((service) =>
          services()
            .netidsOf(service)
            .map((netid) => ({
              address: services().addressOf(service, netid, localAddressOf(session.client), ''),
              netid,
              semantics: SEMANTICS[service.transport],
              family: netid.endsWith('6') ? 'inet6' : 'inet',
              protocol: service.transport,
            })),
        ),
  }
  return new TableProgram({
    ...{ name: `rpcbind${version}`, number: p.PORTMAP_PROGRAM, version, clock },
    table,
    handlers: handlers as Handlers<T>,
    resultBytes: { DUMP: LIST_BYTES, GETADDRLIST: LIST_BYTES } as { readonly [Name in keyof T]?: number },
  })
}

/** Where a program is reached by the netid asked for, or else by that through which it was asked; '' when nowhere. */
function addressOf(services: Services, asked: p.Binding, client: Client, exact: boolean): string {
  const { program, version, netid, address: hint } = asked
  const transport = netid.startsWith(TCP)
    ? TCP
    : netid.startsWith(UDP)
      ? UDP
      : netid === ''
        ? client.transport
        : undefined
  const found = transport && services.find(program, version, transport, exact)
  if (!found) return ''
  const wanted = netid || found.transport
  if (!services.netidsOf(found).some((each) => each === wanted)) return ''
  return services.addressOf(found, wanted, localAddressOf(client), hint)
}

function localAddressOf({ localAddress }: Client): string | undefined {
  return localAddress === undefined ? undefined : plainAddress(localAddress)
}
