/** The target, as `matrix target`, `matrix demo --san` and tests use it. */
export type { TargetChap } from './chap-target.ts'
export { answerRequest, type TargetAnswer, type TargetRequest } from './control.ts'
export type { Fault } from './faults.ts'
export { STORE_BYTES } from './reservation-store.ts'
export type { Cut } from './switch.ts'
export { IscsiTarget, type LunOptions, type TargetHost, type TargetOptions } from './target.ts'
