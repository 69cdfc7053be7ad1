/** What a command has to say, on standard output: tables and lines for people, or JSON for programs. */
import type { Command } from 'commander'

export type JsonOption = { readonly json?: boolean }

export function withJson(command: Command): Command {
  return command.option('--json', 'for programs: the result as JSON')
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all
    .map((row) =>
      row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join('  '),
    )
    .map((line) => line.trimEnd())
    .join('\n')
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function sayJson(value: unknown): void {
  say(JSON.stringify(value, null, 2))
}

/** A name that anybody may have given: what would tear a table, or tell the terminal something, is shown as JSON has it. */
export function printable(text: string): string {
  return /[\p{Cc}]/u.test(text) ? JSON.stringify(text) : text
}

/** The result of a command. */
export function sayResult(asJson: boolean | undefined, value: unknown, text: string): void {
  if (asJson) sayJson(value)
  else say(text)
}
