import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { MAX_CLOCK_DRIFT, timingsFrom } from '../../../src/base/timings.ts'

const BASES = [50, 400, 2000, 10_000]

test('a write handed over before the guard lands before the lease is over', () => {
  for (const base of BASES) {
    const { guardMs, leaseMs, renewMs, ioTimeoutMs } = timingsFrom(base)
    assert.ok(guardMs >= ioTimeoutMs)
    // a renewal that takes its time, and one after it, leave something of the lease to work in
    assert.ok(renewMs + ioTimeoutMs < leaseMs - guardMs)
  }
})

test('an observer acts only when the lease it watched is over and its last write dead, whatever the clocks of both', () => {
  for (const base of BASES) {
    const { leaseMs, ioLifeMs, observedDeadMs } = timingsFrom(base)
    // the owner's clock is slow, its observer's fast; the life of an I/O is the device's
    assert.ok(leaseMs / (1 - MAX_CLOCK_DRIFT) + ioLifeMs < observedDeadMs / (1 + MAX_CLOCK_DRIFT))
  }
})

test('a process that is gone for orphanIoMs has nothing under way at a target, whatever the clock of who waits', () => {
  for (const base of BASES) {
    const { ioLifeMs, orphanIoMs } = timingsFrom(base)
    assert.ok(orphanIoMs / (1 + MAX_CLOCK_DRIFT) >= ioLifeMs - 1e-6)
  }
})

test('a lease is over for whoever has seen it unchanged for leaseOverMs, and a healthy device is done with its last write', () => {
  for (const base of BASES) {
    const { leaseMs, guardMs, ioTimeoutMs, leaseOverMs, renewMs } = timingsFrom(base)
    assert.ok(leaseMs / (1 - MAX_CLOCK_DRIFT) <= leaseOverMs / (1 + MAX_CLOCK_DRIFT) + 1e-6)
    assert.ok((leaseMs - guardMs) / (1 - MAX_CLOCK_DRIFT) + ioTimeoutMs < leaseOverMs / (1 + MAX_CLOCK_DRIFT))
    // seen at the latest a renewal period after it was written, so this long after a death
    assert.ok(leaseOverMs + renewMs < 5 * ioTimeoutMs)
  }
})

test('peers are suspected before a lease could be over, and after more than one heartbeat', () => {
  for (const base of BASES) {
    const { heartbeatMs, suspectMs, leaseMs } = timingsFrom(base)
    assert.ok(2 * heartbeatMs < suspectMs && suspectMs < leaseMs)
  }
})

test.run()
