/** What a sequence is made of: operations by path, as data. The model and a real filesystem both do them. */

export type Operation =
  | {
      readonly op: 'create' | 'recreate' | 'mkdir' | 'fifo' | 'device' | 'unlink' | 'unlink-open' | 'rmdir'
      readonly path: string
    }
  | { readonly op: 'symlink'; readonly path: string; readonly target: string }
  | { readonly op: 'link' | 'rename'; readonly path: string; readonly to: string }
  | {
      readonly op: 'write'
      readonly path: string
      readonly at: number | 'end'
      readonly bytes: number
      readonly stable: boolean
    }
  | { readonly op: 'store'; readonly path: string; readonly bytes: number }
  | { readonly op: 'truncate'; readonly path: string; readonly size: number }
  | { readonly op: 'chmod' | 'chown' | 'utimes'; readonly path: string }
  | { readonly op: 'commit'; readonly path: string }
  | { readonly op: 'sync' | 'checkpoint' | 'age' }

export function describe(operation: Operation): string {
  const { op, ...rest } = operation
  const texts = Object.values(rest).map((value) =>
    typeof value === 'string' && value.length > 20 ? `${value.slice(0, 3)}…` : String(value),
  )
  return [op, ...texts].join(' ')
}
