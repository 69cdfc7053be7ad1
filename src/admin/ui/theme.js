/** Light, dark, or as the system has it; kept in this browser. */
import { useEffect, useState } from 'preact/hooks'

const KEY = 'matrixfs-theme'
const CHOICES = /** @type {const} */ (['auto', 'light', 'dark'])

function kept() {
  try {
    return CHOICES.find((choice) => choice === localStorage.getItem(KEY)) ?? 'auto'
  } catch {
    return 'auto'
  }
}

/** What is chosen, what that means now, and the next choice. */
export function useTheme() {
  const [choice, setChoice] = useState(kept())
  const dark = matchMedia('(prefers-color-scheme: dark)')
  const [system, setSystem] = useState(dark.matches)
  useEffect(() => {
    const follow = () => setSystem(dark.matches)
    dark.addEventListener('change', follow)
    return () => dark.removeEventListener('change', follow)
  }, [])
  const theme = choice === 'auto' ? (system ? 'dark' : 'light') : choice
  // before charts read their colours
  document.documentElement.dataset['theme'] = theme
  const next = () => {
    const following = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? 'auto'
    try {
      localStorage.setItem(KEY, following)
    } catch {
      // a browser that keeps nothing: it holds for this page
    }
    setChoice(following)
  }
  return { choice, theme, next }
}
