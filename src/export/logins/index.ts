export { Authenticator, type AuthenticatorOptions } from './authenticator.ts'
export { type JwtOptions, JwtVerifier } from './jwt.ts'
export { LoginRefusal } from './login-refusal.ts'
