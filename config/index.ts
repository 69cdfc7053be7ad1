/** The configuration of matrixd: its keys (schema.ts), how a file is read (load.ts) and what the program gets (config.ts). */
export * from './config.ts'
export { type ConfigFiles, loadConfig } from './load.ts'
export { type FenceAgentName, fenceAgents, type LogLevel } from './schema.ts'
export { formatAddress, isName, parseAddress } from './values.ts'
