/**
 * Nodes that come and go, told once: by the administrator of the view in which they are there, or are no more. Every member remembers the members of
 * the last view that had an administrator, so whoever is elected next knows what has changed since. Should it die before it has told, nobody does.
 */
import { type Life, sameLife } from '../base/life.ts'
import type { View } from '../cluster/index.ts'
import type { Clock } from '../platform/index.ts'
import type { EventNews } from './events.ts'

export type NodeEventsOptions = {
  readonly clock: Clock
  /** A lease that was given back is known after so long, ms. */
  readonly settleMs: number
  /** Whether this life has given its lease back: it was stopped. */
  readonly hasLeft: (life: Life) => boolean
  readonly publish: (news: EventNews) => void
}

export class NodeEvents {
  readonly #options: NodeEventsOptions
  #last: View['members'] = []

  constructor(options: NodeEventsOptions) {
    this.#options = options
  }

  /** A view has its administrator; `tells`: it is this node. */
  administered(view: View, tells: boolean): void {
    const missingIn = (a: View['members'], b: View['members']) =>
      a.filter((life) => !b.some((other) => sameLife(life, other)))
    const came = missingIn(view.members, this.#last)
    const gone = missingIn(this.#last, view.members)
    this.#last = view.members
    if (!tells) return
    const { clock, settleMs, hasLeft, publish } = this.#options
    for (const { name } of came) publish(news('node-up', name, 'info', `node ${name} is a member`))
    if (gone.length === 0) return
    clock.after(settleMs, () => {
      for (const life of gone) {
        const { name } = life
        if (hasLeft(life)) publish(news('node-left', name, 'info', `node ${name} was stopped`))
        else publish(news('node-down', name, 'error', `node ${name} has died, or was cut off: others go on without it`))
      }
    })
  }
}

function news(kind: EventNews['kind'], name: string, severity: EventNews['severity'], text: string): EventNews {
  return { kind, object: { type: 'node', name }, severity, text }
}
