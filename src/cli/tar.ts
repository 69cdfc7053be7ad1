/** An archive of a few texts (POSIX.1-1988 ustar), as every system can open. */

const BLOCK = 512
/** Where the fields of a header are, and how long. */
const at = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  sum: [148, 8],
  type: [156, 1],
  magic: [257, 8],
} as const

export type TarEntry = { readonly name: string; readonly text: string }

/** `mtime`: seconds since 1970, of all. Names have at most 100 bytes. */
export function tar(entries: readonly TarEntry[], mtime: number): Buffer {
  const parts = entries.flatMap(({ name, text }) => {
    const content = Buffer.from(text, 'utf8')
    return [header(name, content.length, mtime), content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]
  })
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)])
}

function header(name: string, size: number, mtime: number): Buffer {
  const block = Buffer.alloc(BLOCK)
  const put = ([offset, length]: readonly [number, number], text: string): void => {
    if (Buffer.byteLength(text) > length) throw new RangeError(`${text} is longer than ${length} bytes`)
    block.write(text, offset, 'utf8')
  }
  const octal = (value: number, digits: number): string => `${Math.floor(value).toString(8).padStart(digits, '0')}\0`
  put(at.name, name)
  put(at.mode, octal(0o600, 7))
  put(at.uid, octal(0, 7))
  put(at.gid, octal(0, 7))
  put(at.size, octal(size, 11))
  put(at.mtime, octal(mtime, 11))
  put(at.type, '0')
  put(at.magic, 'ustar\0' + '00')
  // the sum is made with blanks in its own place
  block.fill(0x20, at.sum[0], at.sum[0] + at.sum[1])
  const sum = block.reduce((total, byte) => total + byte, 0)
  put(at.sum, `${sum.toString(8).padStart(6, '0')}\0 `)
  return block
}
