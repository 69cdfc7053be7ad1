/** From an address to a session in the full feature phase. */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Host } from '../../platform/host.ts'
import type { PeerAddress } from '../../platform/transport.ts'
import { type LoginOptions, type SessionParameters, startLogin } from './login.ts'
import { PduStream } from './pdu-stream.ts'

export type Portal = {
  readonly address: PeerAddress
  /** Connecting and logging in take so long each at most, ms. */
  readonly limitMs: number
}

/**
 * `take` gets the stream in the moment in which the login is over. Rejects with MatrixError 'lun-io' (the portal or the target cannot be reached
 * now), 'not-found' (no such target), 'config' or 'protocol'.
 */
export async function dialTarget<T>(
  host: Pick<Host, 'dialer' | 'clock'>,
  { address, limitMs }: Portal,
  login: LoginOptions,
  take: (pdus: PduStream, parameters: SessionParameters) => T,
): Promise<T> {
  let pdus: PduStream
  try {
    pdus = new PduStream(await host.dialer.dial(address, limitMs), host.clock)
  } catch (error) {
    if (isMatrixError(error)) throw new MatrixError('lun-io', `cannot connect: ${error.message}`, { cause: error })
    throw error
  }
  return new Promise((resolve, reject) => {
    const limit = host.clock.after(limitMs, () => {
      reject(new MatrixError('lun-io', `the target did not complete the login within ${limitMs} ms`))
      pdus.end('the login took too long')
    })
    startLogin(
      pdus,
      login,
      (parameters) => {
        limit.cancel()
        resolve(take(pdus, parameters))
      },
      (error) => {
        limit.cancel()
        reject(error)
      },
    )
  })
}
