/** E-mail by nodemailer: one connection to the server, one message. */
import { createTransport } from 'nodemailer'
import type { Mail, Mailer, Sent } from '../outbox.ts'

export const realMailer: Mailer = {
  async send({ server, from, to, subject, text, messageId, headers, timeoutMs }: Mail): Promise<Sent> {
    const { host, port, security, login, ca } = server
    const transport = createTransport({
      ...{
        host,
        port,
        secure: security === 'tls',
        requireTLS: security === 'starttls',
        ignoreTLS: security === 'none',
      },
      ...(login && { auth: { user: login.user, pass: login.password } }),
      ...(ca !== undefined && { tls: { ca } }),
      ...{ connectionTimeout: timeoutMs, greetingTimeout: timeoutMs, socketTimeout: timeoutMs },
      // what a message holds is text of our own: nothing is fetched for it
      ...{ disableFileAccess: true, disableUrlAccess: true },
    })
    try {
      await transport.sendMail({
        from,
        to: [...to],
        subject,
        text,
        messageId: `<${messageId}>`,
        headers: { ...headers },
      })
      return { how: 'taken' }
    } catch (error) {
      const { responseCode = 0, message } = error as Error & { responseCode?: number }
      // 5xx: the server will not take this message, however often it is asked (RFC 5321 4.2.1)
      return { how: responseCode >= 500 ? 'refused' : 'failed', why: message }
    } finally {
      transport.close()
    }
  },
}
