/**
 * Floor 8: what the matrix does for services beside serving files. Virtual hosts (`virtual-hosts.ts` and what it wires: `placement.ts` decides,
 * `address-bearer.ts` does), the monitors by which it is judged who is well (`monitors/`), and the
 * notifier, which takes events to people and programs (`notifier/`).
 */

export { AddressBearer, type AddressBearerOptions } from './address-bearer.ts'
export type { AddressedGateway } from './addressed-gateway.ts'
export * from './choice.ts'
export * from './events.ts'
export * from './filesystem-monitor.ts'
export { type ProbeTools, probe } from './monitors/probes.ts'
export * from './monitors/service-check.ts'
export * from './monitors/service-monitor.ts'
export { NodeEvents } from './node-events.ts'
export * from './notifier/index.ts'
export * from './placement.ts'
export * from './service.ts'
export { ServiceKeeper, type ServiceSight, type ServiceState } from './service-keeper.ts'
export { Services } from './services.ts'
export * from './virtual-host.ts'
export * from './virtual-hosts.ts'
