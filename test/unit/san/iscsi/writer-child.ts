/** A process for reinstatement.test.ts: writes one place over and over, each time with another byte. */
import { realHost } from '../../../../src/platform/real/host.ts'
import { openLun } from '../../../../src/san/index.ts'

const [url, block] = process.argv.slice(2) as [string, string]
const lun = await openLun(url, realHost)
for (let value = 1; ; value = 1 + (value % 200)) {
  await lun.write(512 * Number(block), [Buffer.alloc(4096, value)], { purpose: 'data' })
  if (value === 10) console.log('writing')
}
