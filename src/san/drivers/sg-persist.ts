/**
 * Persistent reservations of a block device through `sg_persist` (sg3-utils): the kernel has no call for all of it that Node could make. Its exit
 * status is the word of the device; what it prints is read as strictly as it is printed, since a key that is overlooked is a node that
 * takes itself for fenced, or another for fenced that is not.
 *
 *       PR generation=0x3, 2 registered reservation keys follow:         PR generation=0x3, Reservation follows:
 *         0x4d78000000000001                                               Key=0x4d78000000000001
 *         0x4d78010000000004                                               scope: LU_SCOPE,  type: Write Exclusive, all registrants
 *
 * What says that nothing was executed (a unit attention, busy) is asked again.
 */
import { isMatrixError, MatrixError } from '../../base/errors.ts'
import type { Programs } from '../../platform/programs.ts'
import {
  ALL_REGISTRANTS,
  formatKey,
  type RegistrationKey,
  type Reservation,
  type Reservations,
} from '../reservations.ts'

const PROGRAM = '/usr/bin/sg_persist'
/** More than there can be ways to a LUN of 64 nodes with eight paths each. */
const OUTPUT_LINES = 600
const MAX_TRIES = 10

/** Of sg3-utils. */
const exit = { good: 0, illegalRequest: 5, unknownCommand: 9, conflict: 24 } as const
/** Not ready, unit attention, aborted, busy, task set full, task aborted: nothing was executed. */
const againCodes: readonly (number | undefined)[] = [2, 6, 11, 26, 27, 29]

/** 50 and EINVAL, ENOTTY: the kernel passes no SCSI commands to the device. */
const noScsiCodes: readonly (number | undefined)[] = [72, 75]

/** As it names them. */
const typeNames: Readonly<Record<string, number>> = {
  'Write Exclusive': 1,
  'Exclusive Access': 3,
  'Write Exclusive, registrants only': 5,
  'Exclusive Access, registrants only': 6,
  'Write Exclusive, all registrants': 7,
  'Exclusive Access, all registrants': 8,
}

export type SgPersistOptions = {
  /** The device. */
  readonly path: string
  readonly programs: Programs
  /** For one command, ms. */
  readonly timeoutMs: number
}

/** The device does not know it. */
class NotSupported extends MatrixError {
  constructor(path: string, args: string) {
    super('config', `${path} does not know what sg_persist ${args} asks for`)
  }
}

export class SgPersist implements Reservations {
  readonly #options: SgPersistOptions
  #canAbort = true
  #canPersist = true

  constructor(options: SgPersistOptions) {
    this.#options = options
  }

  async readKeys(): Promise<readonly RegistrationKey[]> {
    const output = await this.#run(['--in', '--read-keys'])
    const begin = output.findIndex((line) => /PR generation=/.test(line))
    const head = output[begin] ?? ''
    if (/there are NO registered reservation keys/.test(head)) return []
    const count = Number(/(\d+) registered reservation keys? follows?:/.exec(head)?.[1])
    const keys = output.slice(begin + 1, begin + 1 + count).map((line) => /^\s+(0x[0-9a-f]{1,16})\s*$/i.exec(line)?.[1])
    if (!(count > 0) || keys.length !== count || keys.includes(undefined)) throw this.#unreadable(output)
    return keys.map((key) => BigInt(key as string))
  }

  async readReservation(): Promise<Reservation | undefined> {
    const output = await this.#run(['--in', '--read-reservation'])
    const text = output.join('\n')
    if (/PR generation=\S+\s+there is NO reservation held/.test(text)) return undefined
    const [, key, name] =
      /Reservation follows:\s+Key=(0x[0-9a-f]+)\s+scope: LU_SCOPE,\s+type: (.+?)\s*$/im.exec(text) ?? []
    const type = name === undefined ? undefined : typeNames[name]
    if (key === undefined || type === undefined) throw this.#unreadable(output)
    return { type, key: BigInt(key) }
  }

  async register(key: RegistrationKey): Promise<void> {
    const args = ['--out', '--register-ignore', `--param-sark=${formatKey(key)}`]
    if (this.#canPersist) {
      try {
        await this.#run([...args, '--param-aptpl'])
        return
      } catch (error) {
        if (!(error instanceof NotSupported)) throw error
        this.#canPersist = false
      }
    }
    await this.#run(args)
  }

  async unregister(key: RegistrationKey): Promise<void> {
    await this.#run(['--out', '--register', `--param-rk=${formatKey(key)}`, '--param-sark=0x0'])
  }

  async reserve(key: RegistrationKey): Promise<void> {
    await this.#run(['--out', '--reserve', `--param-rk=${formatKey(key)}`, `--prout-type=${ALL_REGISTRANTS}`])
  }

  async preempt(own: RegistrationKey, victim: RegistrationKey): Promise<'aborted' | 'preempted'> {
    const keys = [
      `--param-rk=${formatKey(own)}`,
      `--param-sark=${formatKey(victim)}`,
      `--prout-type=${ALL_REGISTRANTS}`,
    ]
    if (this.#canAbort) {
      try {
        await this.#run(['--out', '--preempt-abort', ...keys])
        return 'aborted'
      } catch (error) {
        if (!(error instanceof NotSupported)) throw error
        this.#canAbort = false
      }
    }
    await this.#run(['--out', '--preempt', ...keys])
    return 'preempted'
  }

  async #run(args: readonly string[]): Promise<readonly string[]> {
    const { path, programs, timeoutMs } = this.#options
    for (let attempt = 1; ; attempt++) {
      const run = { path: PROGRAM, args: ['--no-inquiry', ...args, path], env: { LC_ALL: 'C' }, timeoutMs }
      const { how, code, output } = await programs.run({ ...run, outputLines: OUTPUT_LINES }).catch((error) => {
        if (!isMatrixError(error, 'not-found')) throw error
        throw new MatrixError('config', `${error.message}; install sg3-utils, or take "scsi-pr" out of fencing.agents`)
      })
      const what = `${path}: sg_persist ${args.join(' ')}`
      if (how === 'timeout') throw new MatrixError('timeout', `${what} was killed, it hung for ${timeoutMs} ms`)
      if (code === exit.good) return output
      if (againCodes.includes(code) && attempt < MAX_TRIES) continue
      if (code === exit.conflict)
        throw new MatrixError(
          'lun-reserved',
          `${what}: reservation conflict: this host is not registered there any more, or strangers have reserved it`,
        )
      if (noScsiCodes.includes(code))
        throw new MatrixError('config', `${path} is no SCSI device: it has no persistent reservations`)
      if (code === exit.illegalRequest || code === exit.unknownCommand) throw new NotSupported(path, args.join(' '))
      throw new MatrixError('lun-io', `${what}: ${how} with ${code ?? 'no status'}: ${output.join(' ')}`)
    }
  }

  #unreadable(output: readonly string[]): MatrixError {
    const { path } = this.#options
    return new MatrixError('lun-io', `${path}: sg_persist has answered what nobody understands: ${output.join(' ')}`)
  }
}
