/** Resolves once all have been done; rejects with the first failure in their order, but not before all have ended: what they were given may be used again then. */
export async function allEnded(work: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(work)) if (result.status === 'rejected') throw result.reason
}
