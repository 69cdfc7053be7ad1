/**
 * Lock modes and their rules as literal tables (VAX/VMS DLM; Kronenberg, Levy, Strecker 1986). Modes are small integers
 * so that the tables are arrays; a higher number is not always "stronger" (PR and CW are incomparable).
 */
export const NL = 0
export const CR = 1
export const CW = 2
export const PR = 3
export const PW = 4
export const EX = 5
export type Mode = 0 | 1 | 2 | 3 | 4 | 5

export const modeNames = ['NL', 'CR', 'CW', 'PR', 'PW', 'EX'] as const

const o = true
const _ = false
/** compatible[held][asked]: may both be granted at once, to different nodes? */
export const compatible: readonly (readonly boolean[])[] = [
  //        NL CR CW PR PW EX
  /* NL */ [o, o, o, o, o, o],
  /* CR */ [o, o, o, o, o, _],
  /* CW */ [o, o, o, _, _, _],
  /* PR */ [o, o, _, o, _, _],
  /* PW */ [o, o, _, _, _, _],
  /* EX */ [o, _, _, _, _, _],
]

/** covers[held][asked]: does holding one give all rights of the other? */
export const coversMode: readonly (readonly boolean[])[] = [
  //        NL CR CW PR PW EX
  /* NL */ [o, _, _, _, _, _],
  /* CR */ [o, o, _, _, _, _],
  /* CW */ [o, o, o, _, _, _],
  /* PR */ [o, o, _, o, _, _],
  /* PW */ [o, o, o, o, o, _],
  /* EX */ [o, o, o, o, o, o],
]

/** joinModes[a][b]: the weakest mode that gives the rights of both. */
export const joinModes: readonly (readonly Mode[])[] = [
  //        NL  CR  CW  PR  PW  EX
  /* NL */ [NL, CR, CW, PR, PW, EX],
  /* CR */ [CR, CR, CW, PR, PW, EX],
  /* CW */ [CW, CW, CW, PW, PW, EX],
  /* PR */ [PR, PR, PW, PR, PW, EX],
  /* PW */ [PW, PW, PW, PW, PW, EX],
  /* EX */ [EX, EX, EX, EX, EX, EX],
]

/** yieldMode[held][wanted]: the strongest part of what is held that can be kept while another node gets what it wants. */
export const yieldMode: readonly (readonly Mode[])[] = [
  //        NL  CR  CW  PR  PW  EX
  /* NL */ [NL, NL, NL, NL, NL, NL],
  /* CR */ [CR, CR, CR, CR, CR, NL],
  /* CW */ [CW, CW, CW, CR, CR, NL],
  /* PR */ [PR, PR, CR, PR, CR, NL],
  /* PW */ [PW, PW, CW, PR, CR, NL],
  /* EX */ [EX, PW, CW, PR, CR, NL],
]

/** mayWrite[mode]: a lock that leaves this mode has changes to make durable and a journal vector to pass on. */
export const mayWrite: readonly boolean[] = [_, _, o, _, o, o]
