/** Debian's Chromium, driven by playwright-core: for tests of pages. Its connections go to this machine alone. */
import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const PROGRAM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

/** Why there is none, or undefined. */
export const noChromium = existsSync(PROGRAM)
  ? undefined
  : `${PROGRAM} is missing (apt-get install chromium; CHROMIUM names another)`

export function openChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: PROGRAM,
    args: [
      // root, as tests in containers are, has no sandbox
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}
