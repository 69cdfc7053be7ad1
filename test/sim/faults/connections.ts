/**
 * What can go wrong with single connections. The transport under the mesh is a stream: within a connection nothing is lost alone,
 * doubled or out of order. But between two nodes there may be more than one connection for a while:
 *
 *   lost connection      both ends are told at different times, so one dials anew, and the other accepts a second connection of the
 *                        same life while the first still seems good to it; frames of the first arrive until then
 *   late old connection  the dialer believes its connection dead and makes another, over which new frames overtake those still on
 *                        their way in the old one: duplicates and disorder at the level of messages
 *   dial without answer  the acceptor has a connection, the dialer never hears of it
 */
import type { Fate } from './fate.ts'

export function connections(fate: Fate): void {
  const { prng, matrix } = fate
  fate.again(200, 2500, () => {
    const { network, timings } = matrix
    const kind = prng.pick(['lost connection', 'late old connection', 'dial without answer'] as const)
    switch (kind) {
      case 'lost connection':
        if (network.loseConnection(prng, 0, prng.below(timings.suspectMs))) fate.count(kind)
        return
      case 'late old connection':
        if (network.loseConnection(prng, prng.between(20, timings.suspectMs), timings.suspectMs)) fate.count(kind)
        return
      case 'dial without answer': {
        const before = network.unansweredDials
        network.unanswered = 0.5
        fate.during(prng.between(100, 2000), () => {
          network.unanswered = 0
          if (network.unansweredDials > before) fate.count(kind)
        })
      }
    }
  })
}
