import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Of the daemons that the machines' systemd would run: how, and where each is asked whether it is up. */
const SYSTEMCTL = `#!/bin/bash
# systemctl VERB [--quiet] docker|containerd, as far as it is used here: there is no systemd in a namespace.
set -e
verb=$1; shift
[ "$1" = --quiet ] && shift
unit=\${1%.service}
own=/run/walk
case $unit in
  docker)
    start=(dockerd --containerd=/run/containerd/containerd.sock --bridge=none --iptables=false --ip6tables=false
      --ip-forward=false --ip-masq=false --userland-proxy=false --log-level=warn)
    up=(curl --silent --fail --unix-socket /run/docker.sock http://docker/_ping) ;;
  containerd)
    start=(containerd --log-level warn)
    up=(ctr version) ;;
  *) exit 4 ;;
esac
running() { [ -e $own/$unit.pid ] && kill -0 "$(cat $own/$unit.pid)" 2>/dev/null; }
wait_for() {
  for try in {1..400}; do "$@" >/dev/null 2>&1 && return; sleep 0.05; done
  echo "$unit: waited in vain: $*" >&2; exit 1
}
gone() { ! running; }
case $verb in
  is-active) running || exit 3 ;;
  reload) kill -HUP "$(cat $own/$unit.pid)" ;;
  start | restart)
    if running; then kill "$(cat $own/$unit.pid)"; wait_for gone; fi
    setsid "\${start[@]}" </dev/null >>/var/log/$unit.log 2>&1 &
    echo $! > $own/$unit.pid
    wait_for "\${up[@]}" ;;
  stop) kill "$(cat $own/$unit.pid)"; wait_for gone ;;
  *) exit 1 ;;
esac
`;

/** Machines by their addresses; what has no directory after the colon goes to root's home. */
const scp = (dirs: Readonly<Record<string, string>>) => `#!/bin/bash
# scp FILE... root@ADDRESS:[PATH], to another of these machines: there is no sshd in a namespace.
set -e
target="\${@: -1}"
address=\${target#root@}; address=\${address%%:*}; path=\${target#*:}
case $address in
${Object.entries(dirs)
  .map(([address, dir]) => `  ${address}) dir=${dir} ;;`)
  .join('\n')}
  *) echo "ssh: connect to host $address port 22: Connection refused" >&2; exit 1 ;;
esac
cp "\${@:1:$#-1}" "$dir\${path:-/root/}"
`;

/** Writes what stands in for systemd and ssh between the machines; the directory, for their PATH. */
export async function writePrograms(dir: string, machines: Readonly<Record<string, string>>): Promise<string> {
  await mkdir(dir, { recursive: true });
  for (const [name, text] of Object.entries({ systemctl: SYSTEMCTL, scp: scp(machines) })) {
    await writeFile(join(dir, name), text);
    await chmod(join(dir, name), 0o755);
  }
  return dir;
}
