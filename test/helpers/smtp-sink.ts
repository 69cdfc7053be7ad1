/** A mail server for tests: takes mails by SMTP (RFC 5321) and keeps them; it can refuse a recipient for now, or for good. */
import { createServer, type Server, type Socket } from 'node:net'

export type SunkMail = {
  readonly from: string
  readonly to: readonly string[]
  readonly text: string
  readonly login?: string
}

export class SmtpSink {
  readonly mails: SunkMail[] = []
  /** Answers to RCPT, the next first; then all are taken. */
  readonly answers: string[] = []
  port = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket))
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const at = this.#server.address()
    if (typeof at === 'object' && at) this.port = at.port
    return this
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    const say = (line: string): void => void socket.write(`${line}\r\n`)
    let text = ''
    let mail: { from: string; to: string[]; login?: string } = { from: '', to: [] }
    let data: string[] | undefined
    let login: string | undefined
    say('220 sink ESMTP')
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk
      const lines = text.split('\r\n')
      text = lines.pop() as string
      for (const line of lines) {
        if (data) {
          if (line === '.') {
            this.mails.push({ ...mail, text: data.join('\n'), ...(login !== undefined && { login }) })
            data = undefined
            say('250 taken')
          } else data.push(line.replace(/^\./, ''))
          continue
        }
        const [verb = '', ...rest] = line.split(' ')
        const address = /<([^>]*)>/.exec(line)?.[1] ?? ''
        switch (verb.toUpperCase()) {
          case 'EHLO':
            socket.write('250-sink\r\n250 AUTH PLAIN\r\n')
            break
          case 'AUTH':
            login = Buffer.from(rest[1] ?? '', 'base64')
              .toString('utf8')
              .replaceAll('\0', ' ')
              .trim()
            say('235 welcome')
            break
          case 'MAIL':
            mail = { from: address, to: [] }
            say('250 ok')
            break
          case 'RCPT': {
            const answer = this.answers.shift() ?? '250 ok'
            if (answer.startsWith('2')) mail.to.push(address)
            say(answer)
            break
          }
          case 'DATA':
            data = []
            say('354 go on')
            break
          case 'QUIT':
            say('221 bye')
            socket.end()
            break
          default:
            say(verb === '' ? '500 what?' : '250 ok')
        }
      }
    })
  }
}
