/** Certificates for tests, made by the openssl program: a CA, and what it has signed. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Signed = { readonly certificate: Buffer; readonly key: Buffer }

export class TestCa {
  readonly dir = mkdtempSync(join(tmpdir(), 'matrixfs-ca-'))
  readonly certificate: Buffer
  #serial = 0

  constructor(name: string) {
    this.#openssl('req', '-x509', ...newKey('ca'), '-out', 'ca.pem', '-subj', `/CN=${name}`)
    this.certificate = readFileSync(join(this.dir, 'ca.pem'))
  }

  /** For a host of that name; PEM. */
  sign(host: string): Signed {
    const name = `signed${++this.#serial}`
    this.#openssl(
      'req',
      '-new',
      ...newKey(name),
      '-out',
      `${name}.csr`,
      '-subj',
      `/CN=${host}`,
      '-addext',
      `subjectAltName=DNS:${host}`,
    )
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copy']
    this.#openssl('x509', '-req', '-in', `${name}.csr`, ...by, '-out', `${name}.pem`, '-days', '2')
    const read = (ending: string) => readFileSync(join(this.dir, `${name}.${ending}`))
    return { certificate: read('pem'), key: read('key') }
  }

  dispose(): void {
    rmSync(this.dir, { recursive: true, force: true })
  }

  #openssl(...args: string[]): void {
    try {
      execFileSync('openssl', args, { cwd: this.dir, stdio: ['ignore', 'ignore', 'pipe'] })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      throw new Error('these tests need the program openssl: apt-get install openssl')
    }
  }
}

function newKey(name: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', `${name}.key`]
}
