/** `matrix demo`: a matrix of several nodes on this machine (demo/demo.ts). */
import { Argument, Command } from 'commander'
import { formatSize } from '../base/units.ts'
import { DEFAULT_LUN_BYTES, type DemoOptions, MIN_LUN_BYTES, runDemo } from './demo/demo.ts'
import { type Cable, cutDemoNode, healDemoNode } from './demo/demo-drills.ts'
import { addDemoNode, startDemoNode, stopDemoNode } from './demo/demo-nodes.ts'
import { MAX_NODES } from './demo/layout.ts'
import { sizeFrom, wholeNumber } from './option-values.ts'

const DEFAULT_DIR = './var/demo'

type LunOptions = { readonly lunSize?: number; readonly lun?: readonly string[] }

type NodeOptions = { readonly dir?: string }

export function demoCommand(): Command {
  const command = new Command('demo')
    .description('a matrix of several nodes on this machine, until Ctrl-C; its data is kept for the next start')
    .option('--dir <dir>', 'where everything is kept', DEFAULT_DIR)
    .option('--nodes <n>', `number of nodes, 1…${MAX_NODES}`, wholeNumber({ min: 1, max: MAX_NODES }), 3)
    .option(
      '--base-port <port>',
      'node i serves NFS on PORT+100·i+49, HTTP on PORT+100·i+80, its mesh listens on PORT+100·i+1',
      wholeNumber({ min: 1024, max: 65535 - 100 * MAX_NODES - 80 }),
      20000,
    )
    .option(
      '--lun-size <bytes>',
      `size of each of the two LUNs, such as 512MiB (default: ${formatSize(DEFAULT_LUN_BYTES)}; the files are sparse)`,
      sizeFrom(MIN_LUN_BYTES),
    )
    .option(
      '--lun <url>',
      'use this LUN, which nobody uses, instead of files of its own; give it as often as there are LUNs',
      (url: string, others: readonly string[] = []) => [...others, url],
    )
    .option('--san', 'the LUNs are at an iSCSI target of the demo, which fences nodes; ports PORT+60 and PORT+61')
    .option('--mount', 'every node also mounts the filesystem on this machine, in DIR/mnt/NODE (Linux, as root)')
    .option('--tls', 'HTTPS instead of HTTP, with a certificate of its own making in DIR/cert.pem')
    .option('--redis <url>', "keep the jobs in this Redis, instead of one of the administrator's own")
    .option('--reset', 'begin anew: delete the data kept there')
    .addHelpText(
      'after',
      `
Prints how to reach each node, and then "matrix ready" on a line of its own. DIR/matrix.json says the same to programs.

Examples:
  matrix demo
  matrix demo --mount
  matrix demo --san
  matrix demo cut n2 san
  matrix demo --nodes 5 --dir /tmp/demo --base-port 30000 --lun-size 1GiB
  matrix demo start-node n2 --dir /tmp/demo
  matrix demo add-node --dir /tmp/demo`,
    )
    .action(({ lunSize, lun, ...options }: Omit<DemoOptions, 'lunBytes' | 'lunUrls'> & LunOptions) =>
      runDemo({ ...options, lunBytes: lunSize, lunUrls: lun }),
    )
  const nodeCommand = (verb: string, about: string, run: (dir: string, name: string) => Promise<void>): void => {
    command
      .command(verb)
      .description(about)
      .argument('<name>', 'such as n2')
      .option('--dir <dir>', `folder of the demo (default: "${DEFAULT_DIR}")`)
      .addHelpText('after', `\nExample:\n  matrix demo ${verb} n2 --dir /tmp/demo`)
      .action((name: string, { dir }: NodeOptions) => run(dir ?? command.opts<DemoOptions>().dir, name))
  }
  command
    .command('add-node')
    .description('add a node to a running demo, the next after those it has; returns once it serves')
    .option('--dir <dir>', `folder of the demo (default: "${DEFAULT_DIR}")`)
    .addHelpText('after', '\nExample:\n  matrix demo add-node --dir /tmp/demo')
    .action(({ dir }: NodeOptions) => addDemoNode(dir ?? command.opts<DemoOptions>().dir))
  nodeCommand('start-node', 'start a node of a running demo again; returns once it serves', startDemoNode)
  nodeCommand('stop-node', 'stop a node of a running demo cleanly', stopDemoNode)
  command
    .command('cut')
    .description('pull a cable of a node of a demo with --san')
    .argument('<name>', 'such as n2')
    .addArgument(new Argument('<cable>', 'to the SAN, or to the other nodes').choices(['san', 'net']))
    .option('--dir <dir>', `folder of the demo (default: "${DEFAULT_DIR}")`)
    .addHelpText('after', '\nExamples:\n  matrix demo cut n2 san\n  matrix demo cut n2 net --dir /tmp/demo')
    .action((name: string, cable: Cable, { dir }: NodeOptions) =>
      cutDemoNode(dir ?? command.opts<DemoOptions>().dir, name, cable),
    )
  nodeCommand('heal', 'put the cables of a node back, and start it when it has ended meanwhile', healDemoNode)
  return command
}
