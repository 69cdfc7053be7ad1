/**
 * Shell completion, generated from the commands themselves, so that it cannot lag behind them. A generated script knows the tree by heart: it never
 * runs `matrix`, and so takes no time. All three shells go the same way: find the command that the words so far name, passing over values of
 * options; then offer the values of the option before the cursor, the options when the word begins with a dash, or else commands, choices or files.
 */
import type { Argument, Command, Option } from 'commander'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

type Values = { readonly kind: 'choices'; readonly choices: readonly string[] } | { readonly kind: 'files' | 'any' }
type Flag = { readonly names: readonly string[]; readonly about: string; readonly values: Values | undefined }
type Place = {
  /** Such as `matrix lun add`. */
  readonly at: string
  readonly commands: readonly { readonly name: string; readonly about: string }[]
  readonly flags: readonly Flag[]
  readonly values: Values | undefined
}

/** Placeholders of arguments and options that are paths; a LUN's URL is one, too, or begins with one. */
const PATHS = new Set(['file', 'dir', 'directory', 'url', 'place'])

export function completionScript(shell: Shell, program: Command): string {
  const places = placesOf(program, program.name())
  return { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](program.name(), places)
}

function placesOf(command: Command, at: string): Place[] {
  const commands = command.commands.map((child) => ({ name: child.name(), about: firstClause(child.description()) }))
  const [first] = command.registeredArguments
  const help: Flag = { names: ['-h', '--help'], about: 'explains the command', values: undefined }
  const own = command.options.map((option): Flag => {
    const names = [option.short, option.long].filter((name) => name !== undefined)
    const takesValue = option.required || option.optional
    return { names, about: firstClause(option.description), values: takesValue ? valuesOf(option) : undefined }
  })
  const place = { at, commands, flags: [...own, help], values: first && valuesOf(first) }
  return [place, ...command.commands.flatMap((child) => placesOf(child, `${at} ${child.name()}`))]
}

function valuesOf(taker: Option | Argument): Values {
  if (taker.argChoices) return { kind: 'choices', choices: taker.argChoices }
  const placeholder = 'flags' in taker ? (/[<[]([a-z]+)/.exec(taker.flags)?.[1] ?? '') : taker.name()
  return { kind: PATHS.has(placeholder) ? 'files' : 'any' }
}

/** What fits into a line of a menu. */
function firstClause(text: string): string {
  return (text.split(/[;:(]/)[0] as string).trim().slice(0, 80)
}

/** A word or words for any of these shells, as they are. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function list(words: readonly string[]): string {
  return words.map(quote).join('|')
}

/** `case` patterns of all options at all places that fit. */
function flagsWhere(places: readonly Place[], fits: (flag: Flag) => boolean): string[] {
  return places.flatMap(({ at, flags }) =>
    flags.filter(fits).flatMap(({ names }) => names.map((name) => `${at} ${name}`)),
  )
}

/** The part that bash and zsh share: `at` becomes the command that the words before the cursor name. */
function findPlace(program: string, places: readonly Place[], words: string, from: number, cursor: string): string {
  const commands = places.map(({ at }) => at).filter((at) => at !== program)
  const taking = flagsWhere(places, ({ values }) => values !== undefined)
  return `  local at=${program} i
  for ((i = ${from}; i < ${cursor}; i++)); do
    case "$at \${${words}[i]}" in
      ${list(taking)}) ((i++)) ;;
      ${list(commands)}) at="$at \${${words}[i]}" ;;
    esac
  done`
}

function choiceCases(places: readonly Place[], offer: (choices: string) => string): string {
  return places
    .flatMap(({ at, flags }) =>
      flags.flatMap(({ names, values }) =>
        values?.kind === 'choices'
          ? [`    ${list(names.map((name) => `${at} ${name}`))}) ${offer(values.choices.join(' '))}; return ;;`]
          : [],
      ),
    )
    .join('\n')
}

function bashScript(program: string, places: readonly Place[]): string {
  const cases = places.map(({ at, commands, flags, values }) => {
    const words = values?.kind === 'choices' ? values.choices : commands.map(({ name }) => name)
    const files = values?.kind === 'files' ? ' files=1' : ''
    const names = flags.flatMap((flag) => flag.names).join(' ')
    return `    ${quote(at)}) words=${quote(words.join(' '))} flags=${quote(names)}${files} ;;`
  })
  return `# bash completion for ${program}: ${program} completion bash > /etc/bash_completion.d/${program}
_${program}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} words flags files=
  COMPREPLY=()
${findPlace(program, places, 'COMP_WORDS', 1, 'COMP_CWORD')}
  case "$at $previous" in
${choiceCases(places, (choices) => `COMPREPLY=($(compgen -W ${quote(choices)} -- "$current"))`)}
    ${list(flagsWhere(places, ({ values }) => values?.kind === 'files'))}) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    ${list(flagsWhere(places, ({ values }) => values?.kind === 'any'))}) return ;;
  esac
  case "$at" in
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$current"))
  elif [[ $files ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  else
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -F _${program} ${program}
`
}

function zshScript(program: string, places: readonly Place[]): string {
  const entry = (name: string, about: string): string => quote(`${name.replaceAll(':', '\\:')}:${about}`)
  const cases = places.map(({ at, commands, flags, values }) => {
    const names = flags.flatMap((flag) => flag.names.map((name) => entry(name, flag.about)))
    const offered =
      values?.kind === 'choices'
        ? values.choices.map((choice) => entry(choice, choice))
        : commands.map(({ name, about }) => entry(name, about))
    const files = values?.kind === 'files' ? ' files=1' : ''
    return `    ${quote(at)}) offered=(${offered.join(' ')}) flags=(${names.join(' ')})${files} ;;`
  })
  return `#compdef ${program}
# zsh completion for ${program}: ${program} completion zsh > a file _${program} in a folder of $fpath
_${program}() {
  local previous=\${words[CURRENT-1]} files=
  local -a offered flags
${findPlace(program, places, 'words', 2, 'CURRENT')}
  case "$at $previous" in
${choiceCases(places, (choices) => `compadd -- ${choices}`)}
    ${list(flagsWhere(places, ({ values }) => values?.kind === 'files'))}) _files; return ;;
    ${list(flagsWhere(places, ({ values }) => values?.kind === 'any'))}) return ;;
  esac
  case "$at" in
${cases.join('\n')}
  esac
  if [[ $PREFIX == -* ]]; then
    _describe option flags
  elif [[ -n $files ]]; then
    _files
  else
    _describe command offered
  fi
}
if [[ $funcstack[1] == _${program} ]]; then _${program} "$@"; else compdef _${program} ${program}; fi
`
}

function fishScript(program: string, places: readonly Place[]): string {
  const text = (about: string): string => `'${about.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const commands = places.map(({ at }) => at).filter((at) => at !== program)
  const taking = flagsWhere(places, ({ values }) => values !== undefined)
  const taken = (values: Values | undefined): string => {
    if (!values) return ''
    if (values.kind === 'choices') return ` -x -a ${text(values.choices.join(' '))}`
    return values.kind === 'files' ? ' -r -F' : ' -x'
  }
  const lines = places.flatMap(({ at, commands: children, flags, values }) => {
    const here = `complete -c ${program} -n ${text(`__${program}_at "${at}"`)}`
    return [
      ...children.map(({ name, about }) => `${here} -a ${name} -d ${text(about)}`),
      ...(values?.kind === 'choices' ? [`${here} -a ${text(values.choices.join(' '))}`] : []),
      ...(values?.kind === 'files' ? [`${here} -F`] : []),
      ...flags.map((flag) => {
        const names = flag.names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`))
        return `${here} ${names.join(' ')}${taken(flag.values)} -d ${text(flag.about)}`
      }),
    ]
  })
  return `# fish completion for ${program}: ${program} completion fish > ~/.config/fish/completions/${program}.fish
function __${program}_at
    set -l at ${program}
    set -l passing 0
    for word in (commandline -opc)[2..]
        if test $passing = 1
            set passing 0
        else if contains -- "$at $word" ${taking.map(text).join(' ')}
            set passing 1
        else if contains -- "$at $word" ${commands.map(text).join(' ')}
            set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
complete -c ${program} -f
${lines.join('\n')}
`
}
