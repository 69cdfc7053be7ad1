/** `matrix completion`: completion of the command line, for a shell to read (completion.ts). */
import { Argument, Command } from 'commander'
import { completionScript, type Shell, shells } from './completion.ts'

export function completionCommand(): Command {
  const command = new Command('completion')
    .description('print what a shell needs to complete commands and options of matrix')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText(
      'after',
      `
The script is made from this version's commands: make it anew after an update.

Examples:
  matrix completion bash > /etc/bash_completion.d/matrix
  matrix completion zsh > /usr/local/share/zsh/site-functions/_matrix
  matrix completion fish > ~/.config/fish/completions/matrix.fish`,
    )
  return command.action((shell: Shell) => {
    process.stdout.write(completionScript(shell, command.parent as Command))
  })
}
