/**
 * Two applications that belong to the virtual host `files`, with a script of their own at each node: Debian's nginx, and a server of a few lines of
 * Perl. Both tell who answers. `broken`: while this file is there, the application cannot be started at that node.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { VhostMatrix } from '../vhost/vhost-matrix.ts'

export const applications = { web: 34180, teller: 34181 } as const
export type Application = keyof typeof applications

const daemon: Record<Application, (folder: string) => string> = {
  web: (folder) => `nginx -p ${folder} -c ${folder}/nginx.conf`,
  teller: (folder) => `setsid perl ${folder}/teller.pl >/dev/null 2>&1 </dev/null &
  echo $! > ${folder}/pid`,
}

function script(application: Application, folder: string): string {
  return `#!/bin/sh
running() { [ -s ${folder}/pid ] && kill -0 "$(cat ${folder}/pid)" 2>/dev/null; }
case "$1" in
start)
  [ -e ${folder}/broken ] && { echo "it is broken here"; exit 1; }
  running && exit 0
  ${daemon[application](folder)}
  ;;
stop)
  running || exit 0
  kill -TERM "$(cat ${folder}/pid)"
  for i in 1 2 3 4 5 6 7 8 9; do running || exit 0; sleep 0.1; done
  kill -KILL "$(cat ${folder}/pid)"
  ;;
esac
`
}

export function folderOf(dir: string, node: string, application: Application): string {
  return join(dir, `${node}-${application}`)
}

/** Writes what the applications of a node need; gives their configuration. */
export function prepare(matrix: VhostMatrix, node: string): string {
  return (Object.keys(applications) as Application[])
    .map((application) => {
      const folder = folderOf(matrix.dir, node, application)
      mkdirSync(join(folder, 'logs'), { recursive: true })
      const port = applications[application]
      writeFileSync(
        join(folder, 'nginx.conf'),
        `pid ${folder}/pid; error_log ${folder}/error.log; worker_processes 1; events {} http { access_log off;
         server { listen ${port}; location / { return 200 "${node}"; } } }`,
      )
      writeFileSync(
        join(folder, 'teller.pl'),
        `use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => ${port}, Listen => 64, ReuseAddr => 1) or die $!;
while (1) {
    my $client = $server->accept() or next;
    while (my $line = <$client>) { last if $line =~ /^\\r?\\n$/ }
    print $client "HTTP/1.1 200 OK\\r\\nContent-Length: ${node.length}\\r\\nConnection: close\\r\\n\\r\\n${node}";
    close $client;
}
`,
      )
      writeFileSync(join(folder, 'run'), script(application, folder), { mode: 0o755 })
      const own = matrix.segment.address(matrix.names.indexOf(node) + 1)
      return `[[services]]
name = "${application}"
virtual_hosts = ["files"]
kind = "http"
at = "${own}:${port}"
start = "${folder}/run"
stop = "${folder}/run"
probe_interval = "500ms"
probe_retries = 1
restarts = 2
recover_after = "5s"
`
    })
    .join('\n')
}

export function breakAt(dir: string, node: string, application: Application, isBroken: boolean): void {
  const file = join(folderOf(dir, node, application), 'broken')
  if (isBroken) writeFileSync(file, '')
  else rmSync(file)
}

/** Ends its process at a node. */
export function end(dir: string, node: string, application: Application): void {
  process.kill(Number(readFileSync(join(folderOf(dir, node, application), 'pid'), 'utf8')), 'SIGTERM')
}

/** Ends what may be left at all nodes. */
export function endAll(dir: string, nodes: readonly string[]): void {
  for (const node of nodes)
    for (const application of Object.keys(applications) as Application[])
      try {
        end(dir, node, application)
      } catch {
        // it does not run
      }
}
