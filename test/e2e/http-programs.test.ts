/** litmus and rclone at the demo: on whatever its LUNs are. */
// time limit: 180 s
import { suite } from 'uvu'
import { litmusSuite, rcloneSuite } from '../suites/http-clients.ts'
import { Demo } from './demo.ts'
import { freeBasePort } from './free-ports.ts'

const test = suite('http programs at the demo')
const demo = new Demo({ nodes: 3, lunSize: '512MiB', basePort: await freeBasePort(3) })
/** Their URLs go up to the export. */
const fixture = () => ({ urls: demo.matrix.nodes.map(({ http }) => http.url.replace(/home\/$/, '')) })

test.before(async () => void (await demo.start()))
test.after(async () => {
  demo.check()
  await demo.dispose()
})
litmusSuite(test, fixture)
rcloneSuite(test, fixture)
test.run()
