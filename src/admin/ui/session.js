/** Who looks, and what he may do: logged in at this node, or everybody on this machine. */
import { useEffect, useState } from 'preact/hooks'
import { ask, whenSignedOut } from './data.js'
import { html } from './html.js'

/** @typedef {import('../api/access.ts').SessionAnswer} Session */

/** undefined until the node has told. @returns {{ session: Session | undefined, error: string, renew: (session: Session) => void }} */
export function useSession() {
  const [session, renew] = useState(/** @type {Session | undefined} */ (undefined))
  const [error, setError] = useState('')
  useEffect(() => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer
    const look = async () => {
      try {
        renew(/** @type {Session} */ (await ask('/session')))
        setError('')
      } catch (failure) {
        setError(failure instanceof Error ? failure.message : String(failure))
        timer = setTimeout(look, 2_000)
      }
    }
    whenSignedOut(() => void look())
    void look()
    return () => clearTimeout(timer)
  }, [])
  return { session, error, renew }
}

/** @param {{ session: Session, renew: (session: Session) => void }} props */
export function SignIn({ session, renew }) {
  const [error, setError] = useState('')
  const [busy, setBusy] = useState(false)
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault()
    const fields = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget))
    setBusy(true)
    setError('')
    try {
      renew(
        /** @type {Session} */ (await ask('/session', { name: fields.get('name'), password: fields.get('password') })),
      )
    } catch (failure) {
      setError(failure instanceof Error ? failure.message : String(failure))
      setBusy(false)
    }
  }
  return html`
    <main class="empty">
      <form class="sign-in card" onSubmit=${submit}>
        <h1>matrixfs</h1>
        <p>Log in at node ${session.node}.</p>
        ${error && html`<p class="alarm" role="alert">${error}</p>`}
        <label>Name <input name="name" autocomplete="username" required autofocus /></label>
        <label>Password <input name="password" type="password" autocomplete="current-password" required /></label>
        <button type="submit" class="primary" disabled=${busy}>${busy ? 'Logging in …' : 'Log in'}</button>
      </form>
    </main>
  `
}

/** @param {{ session: Session, renew: (session: Session) => void }} props */
export function WhoLooks({ session, renew }) {
  const { name, role } = session
  if (name === null) return html`<span class="who" title="Nobody logs in here">${role}</span>`
  const signOut = async () => renew(/** @type {Session} */ (await ask('/session/end', {})))
  return html`<span class="who">${name}, ${role}</span> <button type="button" class="quiet" onClick=${signOut}>Log out</button>`
}
