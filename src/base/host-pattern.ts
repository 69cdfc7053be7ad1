/** A host's name, or `*.` and a domain; in lower case. */
export function isHostPattern(text: string): boolean {
  const labels = text.replace(/^\*\./, '').split('.')
  return (
    text.length <= 253 &&
    labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) as string)
  )
}
