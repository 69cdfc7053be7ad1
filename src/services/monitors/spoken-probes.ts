/**
 * Services that greet whoever connects, line by line. Each probe hears the greeting, says something that changes nothing, and leaves politely.
 *
 *   ftp    220, NOOP → 200, or 530 where one has to log in first (RFC 959 4.1.3, 5.4); replies of several lines (4.2)
 *   smtp   220, NOOP → 250 (RFC 5321 3.1, 4.1.1.9); replies of several lines (4.2.1)
 *   imap   * OK or * PREAUTH, NOOP → OK (RFC 9051 7.1, 6.1.2)
 *   pop3   +OK, QUIT → +OK (RFC 1939 4, 6): before a login nothing else is allowed to every client
 */
import type { Judge, Turn } from './conversation.ts'
import type { spokenKinds } from './service-check.ts'

/** Of what a service has said, so much is told, characters. */
const SHOWN = 80

export const spokenTurns: Readonly<Record<(typeof spokenKinds)[number], readonly Turn[]>> = {
  ftp: [{ judge: coded(220) }, { say: line('NOOP'), judge: coded(200, 530) }, { say: line('QUIT'), judge: coded(221) }],
  smtp: [{ judge: coded(220) }, { say: line('NOOP'), judge: coded(250) }, { say: line('QUIT'), judge: coded(221) }],
  imap: [
    { judge: firstLine(/^\* (OK|PREAUTH)[ \r]/i) },
    { say: line('a1 NOOP'), judge: tagged('a1') },
    { say: line('a2 LOGOUT'), judge: tagged('a2') },
  ],
  pop3: [{ judge: firstLine(/^\+OK/) }, { say: line('QUIT'), judge: firstLine(/^\+OK/) }],
}

function line(text: string): Buffer {
  return Buffer.from(`${text}\r\n`)
}

/** A reply of one line `220 text`, or of several `220-text` until one with a space. */
function coded(...allowed: readonly number[]): Judge {
  return (answer) => {
    const text = answer.toString('latin1')
    const [, code, separator] = /^(\d{3})([ \-\r])/.exec(text) ?? []
    if (code === undefined) return text.length < 4 ? 'more' : `not a reply: ${shown(text)}`
    const last = separator === '-' ? new RegExp(`(^|\\n)${code}( [^\\n]*)?\\r?\\n`) : /\n/
    if (!last.test(text)) return 'more'
    return allowed.includes(Number(code)) ? undefined : `it says ${shown(text)}`
  }
}

function firstLine(right: RegExp): Judge {
  return (answer) => {
    const text = answer.toString('latin1')
    if (!text.includes('\n')) return 'more'
    return right.test(text) ? undefined : `it says ${shown(text)}`
  }
}

/** What comes before the line with the tag is news of the mailbox. */
function tagged(tag: string): Judge {
  return (answer) => {
    const text = answer.toString('latin1')
    const [, result] = new RegExp(`(?:^|\\n)${tag} ([^\\n]*)\\n`).exec(text) ?? []
    if (result === undefined) return 'more'
    return /^OK[ \r]/i.test(result) ? undefined : `it says ${shown(result)}`
  }
}

function shown(text: string): string {
  const [first = ''] = text.split(/\r?\n/, 1)
  return JSON.stringify(first.trimEnd().slice(0, SHOWN))
}
