/** URLs of LUNs at an iSCSI target: what is understood, and what is refused in which words. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isMatrixError } from '../../../../src/base/errors.ts'
import { parseIscsiUrl, resolveIscsiUrl } from '../../../../src/san/index.ts'

const test = suite('san: iSCSI URLs')
const IQN = 'iqn.2026-11.com.example:array'

test('host, port, target, LUN and options', () => {
  assert.equal(parseIscsiUrl(`iscsi://10.0.0.9/${IQN}/1`), {
    addresses: [{ host: '10.0.0.9', port: 3260 }],
    target: IQN,
    lun: 1,
    digests: false,
  })
  assert.equal(
    parseIscsiUrl(
      `iscsi://[fd00::9]:13260/${IQN}/16383?digest=crc32c&user=n&secret_file=/s&target_secret_file=t&initiator=iqn.2026-11.x:n1`,
    ),
    {
      addresses: [{ host: 'fd00::9', port: 13260 }],
      target: IQN,
      lun: 16383,
      digests: true,
      initiator: 'iqn.2026-11.x:n1',
      chap: { user: 'n', secretFile: '/s', targetSecretFile: 't' },
    },
  )
})

test('several portals, the wanted one first', () => {
  assert.equal(parseIscsiUrl(`iscsi://10.0.0.9,[fd00::9]:13260,array/${IQN}/1`).addresses, [
    { host: '10.0.0.9', port: 3260 },
    { host: 'fd00::9', port: 13260 },
    { host: 'array', port: 3260 },
  ])
})

test('paths in it are made absolute, and nothing else is changed', () => {
  const resolve = (path: string) => `/etc/matrixfs/${path}`
  const url = `iscsi://array:3260/${IQN}/1`
  assert.is(resolveIscsiUrl(url, resolve), url)
  const relative = resolveIscsiUrl(`${url}?user=a%26b&secret_file=chap&digest=crc32c`, resolve)
  assert.is(relative, `${url}?user=a%26b&secret_file=/etc/matrixfs/chap&digest=crc32c`)
  assert.is(resolveIscsiUrl(relative, resolve), relative)
})

for (const [url, expected] of [
  ['iscsi:array', /allowed is iscsi:\/\/HOST/],
  [`iscsi://array/${IQN}`, /allowed is iscsi:\/\/HOST/],
  [`iscsi://array/${IQN}/one`, /allowed is iscsi:\/\/HOST/],
  [`iscsi://array:99999/${IQN}/1`, /port 99999/],
  [`iscsi://a,b,a:3260/${IQN}/1`, /portal a:3260 is there twice/],
  [`iscsi://a,/${IQN}/1`, /portal ""; allowed is/],
  [`iscsi://${'abcdefghi'.split('').join()}/${IQN}/1`, /9 portals; allowed are 8/],
  [`iscsi://array/${IQN}/16384`, /LUN 16384; allowed is 0…16383/],
  ['iscsi://array/disk/1', /the target is called "disk"/],
  [`iscsi://array/${IQN}/1?chap=yes`, /option "chap"; allowed are user/],
  [`iscsi://array/${IQN}/1?user=a&user=b`, /"user" is there twice/],
  [`iscsi://array/${IQN}/1?user=a`, /user and secret_file go together/],
  [`iscsi://array/${IQN}/1?target_secret_file=a`, /needs user/],
  [`iscsi://array/${IQN}/1?digest=md5`, /digest "md5"/],
  [`iscsi://array/${IQN}/1?initiator=me`, /initiator "me"/],
] as const) {
  test(`refused: ${url}`, () => {
    try {
      parseIscsiUrl(url)
    } catch (error) {
      assert.ok(isMatrixError(error, 'config'))
      assert.match(error.message, expected)
      return
    }
    assert.unreachable()
  })
}

test('a secret in the URL is refused, and not repeated', () => {
  for (const url of [`iscsi://me:topsecret@array/${IQN}/1`, `iscsi://array/${IQN}/1?secret=topsecret`]) {
    try {
      parseIscsiUrl(url)
      assert.unreachable()
    } catch (error) {
      assert.ok(isMatrixError(error, 'config'))
      assert.not.match(error.message, /topsecret/)
    }
  }
})

test.run()
