/** Where Redis is, and what its errors mean to people; the password is never in what is told. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { explainRedis, redisPlace } from '../../../../src/admin/jobs/redis-place.ts'
import { isMatrixError, MatrixError } from '../../../../src/base/errors.ts'

test('URLs become options; the password is in those alone', () => {
  assert.equal(redisPlace('redis://jobs.example', undefined), {
    shown: 'redis://jobs.example',
    options: { host: 'jobs.example', port: 6379, db: 0 },
  })
  const { shown, options } = redisPlace('rediss://matrix@[fd00::1]:7000/3', 'secret')
  assert.not.match(shown, /secret/)
  assert.equal(options, { host: 'fd00::1', port: 7000, db: 3, password: 'secret', username: 'matrix', tls: {} })
  assert.equal(redisPlace('unix:/run/redis.sock', 'secret').options, { path: '/run/redis.sock', password: 'secret' })
})

const codeOf = (message: string, code?: string): string => {
  const error = explainRedis(Object.assign(new Error(message), code && { code }), 'redis://r')
  return isMatrixError(error) ? `${error.code}: ${error.message}` : `${error.message}`
}

test('what Redis says is told in words, with what to do', () => {
  assert.match(codeOf("OOM command not allowed when used memory > 'maxmemory'."), /^no-space: .*is full/)
  assert.match(codeOf('MISCONF Redis is configured to save RDB snapshots'), /^no-space: /)
  assert.match(codeOf('WRONGPASS invalid username-password pair'), /^config: .*redis_password_file/)
  assert.match(codeOf('NOAUTH Authentication required.'), /^config: /)
  assert.match(codeOf('LOADING Redis is loading the dataset in memory'), /^busy: /)
  assert.match(codeOf('READONLY You can’t write against a read only replica.'), /^config: .*primary/)
  assert.match(codeOf('connect ECONNREFUSED 127.0.0.1:6379', 'ECONNREFUSED'), /^busy: .*does not answer/)
  assert.match(codeOf("Stream isn't writeable and enableOfflineQueue options is false"), /^busy: /)
  assert.is(codeOf('something else'), 'something else')
  const own = new MatrixError('exists', 'there')
  assert.is(explainRedis(own, 'redis://r'), own)
})

test.run()
