/**
 * A program that locks files by fcntl(2) and flock(2), which Node cannot: a process of its own, told what to do line by line. Its locks go when
 * it ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const SCRIPT = `
import fcntl, json, os, signal, struct, sys
signal.signal(signal.SIGUSR1, lambda *_: (_ for _ in ()).throw(InterruptedError(4, 'signal')))
fds = {}
for line in sys.stdin:
    q = json.loads(line)
    try:
        answer = {}
        if q['do'] == 'open':
            fds[q['as']] = os.open(q['path'], os.O_RDWR | os.O_CREAT)
        elif q['do'] == 'close':
            os.close(fds.pop(q['as']))
        elif q['do'] == 'flock':
            fcntl.flock(fds[q['as']], q['how'])
        elif q['do'] == 'lockf':
            fcntl.lockf(fds[q['as']], q['how'], q['length'], q['start'])
        elif q['do'] == 'getlk':
            ask = struct.pack('hhqqi', q['type'], 0, q['start'], q['length'], 0)
            type, _, start, length, pid = struct.unpack('hhqqi', fcntl.fcntl(fds[q['as']], fcntl.F_GETLK, ask))
            answer = {'type': type, 'start': start, 'length': length, 'pid': pid}
    except OSError as error:
        answer = {'errno': error.errno}
    print(json.dumps(answer), flush=True)
`

/** As lockf and flock of Python have them. */
export const SH = 1
export const EX = 2
export const NB = 4
export const UN = 8

export type Answer = {
  readonly errno?: number
  readonly type?: number
  readonly start?: number
  readonly length?: number
  readonly pid?: number
}

export class Locker {
  readonly #child: ChildProcess
  readonly #waiting: ((answer: Answer) => void)[] = []

  constructor() {
    this.#child = spawn('python3', ['-u', '-c', SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout! }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line)))
  }

  get pid(): number {
    return this.#child.pid as number
  }

  #ask(question: object): Promise<Answer> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#child.stdin!.write(`${JSON.stringify(question)}\n`)
    })
  }

  open(path: string, as = 'f'): Promise<Answer> {
    return this.#ask({ do: 'open', path, as })
  }

  close(as = 'f'): Promise<Answer> {
    return this.#ask({ do: 'close', as })
  }

  /** fcntl(2): bytes start … start+length-1; 0: to the end of the file. */
  lockf(how: number, start = 0, length = 0, as = 'f'): Promise<Answer> {
    return this.#ask({ do: 'lockf', how, start, length, as })
  }

  flock(how: number, as = 'f'): Promise<Answer> {
    return this.#ask({ do: 'flock', how, as })
  }

  /** Who keeps an exclusive lock from being had; type 2: nobody. */
  getlk(start = 0, length = 0, as = 'f'): Promise<Answer> {
    return this.#ask({ do: 'getlk', type: 1, start, length, as })
  }

  /** Interrupts what it waits for. */
  interrupt(): void {
    this.#child.kill('SIGUSR1')
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }
}
