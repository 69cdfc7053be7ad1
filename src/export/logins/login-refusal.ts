/** Who asked may not, or not yet: the status and headers that HTTP has for it (RFC 9110 11.6, 15.5; RFC 6585 4). Cheap: carries no stack. */
export class LoginRefusal extends Error {
  override readonly name = 'LoginRefusal'
  readonly status: 401 | 403 | 429 | 503
  readonly headers: Readonly<Record<string, string>>

  constructor(status: LoginRefusal['status'], detail: string, headers: Readonly<Record<string, string>> = {}) {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    super(detail)
    Error.stackTraceLimit = limit
    this.status = status
    this.headers = headers
  }
}
