/** The model in san-lock.ts, searched to its end; and with rules broken, which has to show. */
import { test } from 'uvu'
import { suites } from './models.ts'
import { testSuite } from './suite.ts'

testSuite(suites.sanLock)

test.run()
