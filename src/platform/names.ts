/** The names of hosts, as the resolver of this machine knows them (DNS, /etc/hosts): handed in. */
export interface HostNameService {
  /** Addresses of a name; none when there is no such name. Rejects when nobody could be asked. */
  addressesOf(name: string): Promise<readonly string[]>
  /** Names of an address; none when it has none. Rejects when nobody could be asked. */
  namesOf(address: string): Promise<readonly string[]>
}
