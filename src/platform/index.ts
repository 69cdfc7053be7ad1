/** Floor 1: the seams to the operating system. `real/` implements them; the simulator has its own (test/sim). */
export * from './block-devices.ts'
export * from './clock.ts'
export * from './files.ts'
export * from './log.ts'
export * from './programs.ts'
export * from './threads.ts'
export * from './transport.ts'
