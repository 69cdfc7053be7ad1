/** SendTargets (RFC 7143, appendix C): which targets a portal has for this initiator. */
import { MatrixError } from '../../base/errors.ts'
import type { Host } from '../../platform/host.ts'
import { dialTarget, type Portal } from './dial.ts'
import type { LoginOptions, SessionParameters } from './login.ts'
import { IMMEDIATE, NO_TAG, newBhs, next, opcodeOf, requestOpcode, responseOpcode } from './pdu.ts'
import type { PduStream } from './pdu-stream.ts'
import { encodeText, MAX_TEXT_BYTES, parseText } from './text.ts'

const FINAL = 0x80

/** Names of targets. Rejects as `dialTarget` does. */
export async function discoverTargets(
  host: Pick<Host, 'dialer' | 'clock'>,
  portal: Portal,
  login: Omit<LoginOptions, 'targetName'>,
): Promise<readonly string[]> {
  const { pdus, names } = await dialTarget(host, portal, login, sendTargets)
  const limit = host.clock.after(portal.limitMs, () => pdus.end('it took too long'))
  return names.finally(() => limit.cancel())
}

function sendTargets(
  pdus: PduStream,
  parameters: SessionParameters,
): { readonly pdus: PduStream; readonly names: Promise<readonly string[]> } {
  let statSn = parameters.statSn
  let text = Buffer.alloc(0)
  const ask = (transferTag: number, data: readonly Uint8Array[]): void => {
    const bhs = newBhs(requestOpcode.text | IMMEDIATE, FINAL, 1)
    bhs.writeUInt32BE(transferTag, 20)
    bhs.writeUInt32BE(parameters.cmdSn, 24)
    bhs.writeUInt32BE(statSn, 28)
    pdus.send(bhs, data)
  }
  const names = new Promise<readonly string[]>((resolve, reject) => {
    pdus.onEnd = (reason) => reject(new MatrixError('lun-io', `the discovery failed: ${reason}`))
    pdus.onPdu = (pdu) => {
      if (opcodeOf(pdu) === responseOpcode.nopIn) return
      if (opcodeOf(pdu) !== responseOpcode.text) throw new MatrixError('protocol', 'something else than text came')
      statSn = next(pdu.bhs.readUInt32BE(24))
      text = Buffer.concat([text, pdu.data])
      if (text.length > MAX_TEXT_BYTES) throw new MatrixError('protocol', 'the text of the target has no end')
      if ((pdu.bhs[1]! & FINAL) === 0) {
        ask(pdu.bhs.readUInt32BE(20), [])
        return
      }
      resolve(parseText(text).flatMap(([key, value]) => (key === 'TargetName' ? [value] : [])))
      pdus.end('the discovery is over')
    }
  })
  ask(NO_TAG, [encodeText([['SendTargets', 'All']])])
  return { pdus, names }
}
