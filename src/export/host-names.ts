/**
 * Clients by name, as export rules have them: `build7.example.org`, or `*.example.org` for all hosts of the domain, at any depth. Whoever asks
 * comes with an address only, so names are looked up, and believed as far as they can be:
 *
 *  - a whole name: its addresses are looked up; the client has to have one of them.
 *  - a pattern: the client's address is looked up, and each name that it gives is looked up in turn and has to lead back to the address:
 *    whoever runs the reverse zone of an address may write any name into it.
 *
 * Answers are remembered for a minute. When nobody answers, the last answer holds for ten, and without one nobody is admitted by name. Requests
 * never wait: a client's names are looked up (`learn`) when it connects, and again from time to time.
 */
import { type Clock, type HostNameService, type Log, within } from '../platform/index.ts'
import { parseAddress } from './addresses.ts'
import { plainAddress } from './local-addresses.ts'

const FRESH_MS = 60_000
const STALE_MS = 600_000
/** A lookup that takes longer counts as unanswered, ms. */
const LOOKUP_LIMIT_MS = 5_000
/** Lookups under way; whoever comes above it is not known yet. Addresses of datagrams are easily forged. */
const MAX_ASKING = 256
/** Addresses and names remembered; above it the oldest are forgotten. */
const MAX_REMEMBERED = 8192

type Answer = { readonly texts: ReadonlySet<string>; readonly at: number }

export class HostNames {
  readonly #service: HostNameService
  readonly #clock: Clock
  readonly #log: Log
  /** Of names: their addresses in hexadecimal. Of addresses in hexadecimal: their confirmed names. */
  readonly #answers = new Map<string, Answer>()
  readonly #asking = new Map<string, Promise<void>>()
  /** Grows with every answer that differs from the one before: what was decided by the old one is decided anew. */
  version = 0

  constructor(options: { readonly service: HostNameService; readonly clock: Clock; readonly log: Log }) {
    this.#service = options.service
    this.#clock = options.clock
    this.#log = options.log
  }

  /** Looks up what `patterns` need to be told whether they name this address, unless it is known; never rejects. */
  async learn(address: string, patterns: readonly string[]): Promise<void> {
    const names = patterns.filter((each) => !each.startsWith('*'))
    const work = names.map((name) => this.#know(name, () => this.#addresses(name)))
    const hex = hexOf(address)
    if (names.length < patterns.length && hex) work.push(this.#know(hex, () => this.#confirmedNames(address, hex)))
    await Promise.all(work)
  }

  /** Whether the host at this address (of `parseAddress`) is named so, as far as known. */
  isNamed(address: Uint8Array, pattern: string): boolean {
    const hex = Buffer.from(address).toString('hex')
    const [key, matches] = pattern.startsWith('*')
      ? [hex, (text: string) => text.endsWith(pattern.slice(1))]
      : [pattern, (text: string) => text === hex]
    const answer = this.#answers.get(key)
    if (!answer || answer.at + STALE_MS < this.#clock.now()) return false
    for (const text of answer.texts) if (matches(text)) return true
    return false
  }

  #know(key: string, ask: () => Promise<readonly string[]>): Promise<void> {
    const known = this.#answers.get(key)
    if (known && known.at + FRESH_MS > this.#clock.now()) return Promise.resolve()
    let asking = this.#asking.get(key)
    if (!asking && this.#asking.size >= MAX_ASKING) return Promise.resolve()
    if (!asking) {
      asking = this.#ask(key, ask).finally(() => this.#asking.delete(key))
      this.#asking.set(key, asking)
    }
    return asking
  }

  async #ask(key: string, ask: () => Promise<readonly string[]>): Promise<void> {
    try {
      const texts = await within(this.#clock, ask(), LOOKUP_LIMIT_MS)
      if (texts === 'late') throw new Error(`no answer within ${LOOKUP_LIMIT_MS} ms`)
      const before = this.#answers.get(key)?.texts
      this.#answers.delete(key)
      this.#answers.set(key, { texts: new Set(texts), at: this.#clock.now() })
      if (before?.size !== texts.length || texts.some((text) => !before.has(text))) this.version++
      if (this.#answers.size > MAX_REMEMBERED) this.#dropOldest()
    } catch (error) {
      this.#log.warn({ of: key, error: String(error) }, 'a host name that exports ask for could not be looked up')
    }
  }

  #dropOldest(): void {
    for (const key of this.#answers.keys()) {
      this.#answers.delete(key)
      return
    }
  }

  async #addresses(name: string): Promise<string[]> {
    return (await this.#service.addressesOf(name)).flatMap((address) => hexOf(address) ?? [])
  }

  async #confirmedNames(address: string, hex: string): Promise<string[]> {
    const names = (await this.#service.namesOf(plainAddress(address))).map((name) =>
      name.toLowerCase().replace(/\.$/, ''),
    )
    const confirmed = await Promise.all(
      names.map(async (name) => ((await this.#addresses(name)).includes(hex) ? [name] : [])),
    )
    return confirmed.flat()
  }
}

function hexOf(address: string): string | undefined {
  const bytes = parseAddress(address)
  return bytes && Buffer.from(bytes).toString('hex')
}
