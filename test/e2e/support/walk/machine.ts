import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '../../../../scripts/netns/host.ts';
import { type Daemon, type Finished, must, run } from '../programs.ts';
import type { Rig } from '../rig.ts';

const BOOT_BOUND_MS = 20_000;
const BLOCK_BOUND_MS = 300_000;
const CTRL_C_BOUND_MS = 40_000;
/** Where the pid of what stays in a terminal is, and what the machine's own `systemctl` keeps. */
const OWN = '/run/walk';
/** Of the machine's own; what is below is gone with it. */
const EMPTY = ['/run', '/var/lib', '/var/log'];

/** Mounts what is the machine's own over this one's, then stays: with it ends all that was started on the machine. */
const BOOT = `
dir=$1 name=$2; shift 2
mount --make-rprivate /
echo "$name" > /proc/sys/kernel/hostname
for path in ${EMPTY.join(' ')}; do
  mkdir -p "$path"
  mount -t tmpfs tmpfs "$path"
done
mkdir ${OWN}
mount --bind "$dir/etc" /etc
mount --bind "$dir/root" /root
echo up
# A shell as the first process takes those whose parents have ended.
while :; do sleep 3600 & wait $!; done
`;

export interface MachineSpec {
  readonly host: Host;
  /** Over this machine's copy of /etc; null takes something out of it. */
  readonly etc: Readonly<Record<string, string | null>>;
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

/** A machine as its root sees it: with a name, an address, processes, /etc, /root and data of its own, by namespaces. */
export class Machine {
  readonly name: string;
  readonly address: string;
  readonly dir: string;
  readonly #rig: Rig;
  readonly #env: NodeJS.ProcessEnv;
  readonly #init: number;
  #terminals = 0;
  #staying: Daemon | undefined;

  private constructor(rig: Rig, { host, path, env }: MachineSpec, dir: string, init: number) {
    this.name = host.name;
    this.address = host.address;
    this.dir = dir;
    this.#rig = rig;
    this.#env = { PATH: path, HOME: '/root', ...env };
    this.#init = init;
  }

  static async boot(rig: Rig, spec: MachineSpec): Promise<Machine> {
    const { name } = spec.host;
    const dir = await rig.folder(name);
    await mkdir(join(dir, 'root'));
    await must('cp', ['--archive', '/etc', join(dir, 'etc')]);
    for (const [path, text] of Object.entries(spec.etc)) {
      const file = join(dir, 'etc', path);
      await must('rm', ['--recursive', '--force', file]);
      if (text === null) continue;
      await mkdir(join(file, '..'), { recursive: true });
      await writeFile(file, text);
    }
    const namespaces = ['--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const args = [
      `--net=/run/netns/${name}`,
      '--',
      'unshare',
      ...namespaces,
      'bash',
      '-c',
      `set -e\n${BOOT}`,
      'boot',
      dir,
      name,
    ];
    const daemon = rig.daemon(name, 'nsenter', args);
    await daemon.ready('to be up', BOOT_BOUND_MS, () => /^up$/m.test(daemon.log()));
    // It does not heed a request to end, and takes all that runs on the machine with it.
    rig.onClose(async () => {
      daemon.signal('SIGKILL');
      await daemon.ended(BOOT_BOUND_MS);
    });
    // nsenter and unshare have become one process, and its only child is the machine's first.
    const children = await readFile(`/proc/${daemon.pid}/task/${daemon.pid}/children`, 'utf8');
    return new Machine(rig, spec, dir, Number(children.trim()));
  }

  /** Runs commands in a shell of root's, in root's home or `directory`. */
  run(commands: string, directory = '/root'): Promise<Finished> {
    const args = this.#enter('bash', '-c', `cd ${directory}; set -e\n${commands}`);
    return run('nsenter', args, { env: this.#env, boundMs: BLOCK_BOUND_MS });
  }

  async must(commands: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(commands);
    if (code !== 0) throw new Error(`${this.name}: ${commands}: exit ${code}\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** Runs commands in a terminal, and leaves them running there. */
  async stay(commands: string): Promise<Daemon> {
    if (this.#staying?.running) throw new Error(`${this.name}: something runs in its terminal already`);
    this.#terminals += 1;
    const file = join(this.dir, `terminal-${this.#terminals}.sh`);
    await writeFile(file, `echo $$ > ${OWN}/terminal; set -e\n${commands}\n`);
    await chmod(file, 0o755);
    const args = this.#enter('script', '--quiet', '--return', '--flush', '--command', `exec bash ${file}`, '/dev/null');
    this.#staying = this.#rig.daemon(`${this.name}-terminal`, 'nsenter', args, { ...this.#env, TERM: 'xterm' });
    return this.#staying;
  }

  /** What stays there gets what a terminal sends on Ctrl-C, and ends. */
  async ctrlC(): Promise<void> {
    await this.must(`kill -INT -- -$(cat ${OWN}/terminal)`);
    await this.#staying!.ended(CTRL_C_BOUND_MS);
  }

  /** Of its /etc: the files with their modes and what is in them, as text to compare. */
  async etc(): Promise<string> {
    const files = `find . -type f -print0 | sort -z | xargs -0 stat --format '%A %U %n'; find . -type f -print0 | sort -z | xargs -0 sha256sum; find . ! -type f | sort`;
    return await must('sh', ['-ec', `cd ${join(this.dir, 'etc')}; ${files}`]);
  }

  #enter(...command: string[]): string[] {
    return [`--target=${this.#init}`, '--net', '--mount', '--uts', '--pid', '--', ...command];
  }
}
