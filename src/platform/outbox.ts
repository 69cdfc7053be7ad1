/** Sending messages to the world outside of the matrix, handed in. */

/** `taken`: the other side has it. `refused`: it says that it never will. `failed`: it may take it later, or has taken it and could not say so. */
export type Sent = { readonly how: 'taken' } | { readonly how: 'refused' | 'failed'; readonly why: string }

export type WebhookCall = {
  /** http: or https:. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** JSON. */
  readonly body: string
  /** Certificates to trust instead of the system's, PEM. */
  readonly ca?: string | undefined
  readonly timeoutMs: number
}

export interface Webhooks {
  post(call: WebhookCall): Promise<Sent>
}

export type MailServer = {
  readonly host: string
  readonly port: number
  /** `tls` from the first byte; `starttls`, and nothing without it; `none`. */
  readonly security: 'tls' | 'starttls' | 'none'
  readonly login?: { readonly user: string; readonly password: string } | undefined
  readonly ca?: string | undefined
}

export type Mail = {
  readonly server: MailServer
  readonly from: string
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
  /** Without angle brackets: the same for a mail that is sent again. */
  readonly messageId: string
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

export interface Mailer {
  send(mail: Mail): Promise<Sent>
}
