/** The notifier: rules of events and objects, and the targets they go to. */
export { Courier } from './courier.ts'
export { type DeadDelivery, DeliveryJournal } from './delivery-journal.ts'
export { Notifier, type RuleReport } from './notifier.ts'
export * from './rule.ts'
