import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Daemon, type Finished, must, run } from './programs.ts';
import type { Rig } from './rig.ts';

const BOOT_BOUND_MS = 60_000;
const COMMAND_BOUND_MS = 120_000;
const OFF_BOUND_MS = 10_000;

export const MACHINE_PROGRAMS = ['unshare', 'nsenter', 'mount', 'ip', 'setpriv', 'systemctl', 'journalctl'];

/**
 * Makes a system of a copy (on write) of this one's files, and runs systemd in it as its first process: in namespaces of its own but for the
 * network, in a control group of its own, with the kernel's settings read-only and no way to load modules, and with no unit but those
 * that every machine has.
 */
const BOOT = `
set -e
dir=$1
mount --make-rprivate /
mount -t tmpfs tmpfs "$dir"
mkdir "$dir/upper" "$dir/work" "$dir/root" "$dir/groups"
mount -t cgroup2 cgroup2 "$dir/groups"
own="$dir/groups$2"
mkdir "$own"
echo 0 > "$own/cgroup.procs"
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
cd "$dir/root"
exec unshare --cgroup --mount --pid --ipc --uts --fork --kill-child --propagation private sh -c '
  set -e
  mount -t proc proc proc
  mount --bind proc/sys proc/sys
  mount -o remount,bind,ro proc/sys
  mount -t sysfs -o ro sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
  done
  mkdir dev/shm dev/pts
  mount -t tmpfs tmpfs dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  mount -t tmpfs -o mode=1777 tmpfs tmp
  mount -t tmpfs -o mode=1777 tmpfs var/tmp
  mount -t tmpfs -o mode=755 tmpfs etc/systemd/system
  rm -f etc/machine-id
  touch etc/machine-id
  mkdir before
  pivot_root . before
  umount --lazy /before
  rmdir /before
  exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=hawker-test \\
    setpriv --bounding-set=-sys_module,-sys_boot,-sys_time --inh-caps=-sys_module,-sys_boot,-sys_time \\
    /lib/systemd/systemd --unit=basic.target --show-status=no
'
`;

const REMOVE = 'mount -t cgroup2 cgroup2 "$1" && find "$1$2" -depth -type d -exec rmdir {} +';

/** As root finds it after logging in, and nothing that a test runner adds. */
const ENVIRONMENT = ['env', '-i', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root'];

/** A machine that systemd runs, on this one's network. */
export class Machine {
  readonly #daemon: Daemon;
  readonly #rig: Rig;
  #pid = 0;

  private constructor(rig: Rig, daemon: Daemon) {
    this.#rig = rig;
    this.#daemon = daemon;
  }

  /** Boots one; it is off when the rig is closed. */
  static async boot(rig: Rig): Promise<Machine> {
    const group = `/hawker-machine-${basename(rig.dir)}`;
    const dir = await rig.folder('machine');
    const daemon = rig.daemon('machine', 'unshare', ['--mount', 'sh', '-c', BOOT, 'boot', dir, group]);
    const machine = new Machine(rig, daemon);
    rig.onClose(() => machine.#off(group));
    await daemon.ready('systemd', BOOT_BOUND_MS, async () => {
      const children = await readFile(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8').catch(() => '');
      machine.#pid = Number(children.trim());
      if (machine.#pid === 0) return false;
      const state = await machine.run('systemctl', 'is-system-running');
      return state.stdout.trim() === 'running';
    });
    return machine;
  }

  /** Where a path of the machine is from here. */
  path(path: string): string {
    return join(`/proc/${this.#pid}/root`, path);
  }

  /** Runs a program on the machine. */
  async run(...command: string[]): Promise<Finished> {
    const enter = [`--target=${this.#pid}`, '--mount', '--pid', '--ipc', '--uts', '--cgroup', '--', ...ENVIRONMENT];
    return await run('nsenter', [...enter, ...command], { boundMs: COMMAND_BOUND_MS });
  }

  /** One that must succeed; its standard output. */
  async must(...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...command);
    if (code === 0) return stdout;
    throw new Error(`${command.join(' ')}: exit ${code}\n${stdout}\n${stderr}`);
  }

  /** Ends every process of it, and removes its control group. */
  async #off(group: string): Promise<void> {
    if (this.#pid !== 0) process.kill(this.#pid, 'SIGKILL');
    await this.#daemon.ended(OFF_BOUND_MS);
    const dir = await this.#rig.folder('groups');
    await must('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', REMOVE, 'remove', dir, group]);
  }
}
