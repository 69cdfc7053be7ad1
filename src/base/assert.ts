/**
 * Invariants. They stay on in production: a violated one is a bug, and a node that cannot trust its own state must stop
 * rather than write. `InvariantError` is never caught to go on; the node's main turns it into a stop.
 */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Throws `InvariantError` unless `condition` holds; narrows types. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** Closes a switch over a tagged union: the compiler finds the forgotten case, and at run time it is a bug. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`)
}
