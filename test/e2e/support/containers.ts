import { join } from 'node:path';
import { overlayWorks } from './clients/overlay.ts';
import { type Daemon, type Finished, must, run } from './programs.ts';
import type { Rig } from './rig.ts';

const START_BOUND_MS = 10_000;
const COMMAND_BOUND_MS = 200_000;

export const PODMAN_PROGRAMS = ['podman', 'crun', 'unshare', 'nsenter', 'mount'];

/**
 * The namespace that podman and its containers mount in. Of control groups it sees those of version 2: crun refuses the two versions at once, which
 * some machines have, and is the one of the runtimes that can do without any.
 */
const MOUNTS = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && echo mounted && exec sleep infinity';

/** On this machine's network; no groups for it, no timers of systemd for its health check, limits that need no raising. */
const CONTAINER = ['--rm', '--network', 'host', '--cgroups', 'disabled', '--no-healthcheck', '--pull', 'never'];
const LIMITS = ['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'];

/** podman with images and containers of its own, which go with the rig. */
export class Podman {
  readonly #rig: Rig;
  readonly #command: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  private constructor(rig: Rig, command: readonly string[], dir: string) {
    this.#rig = rig;
    this.#command = command;
    this.#env = rig.environment({ TMPDIR: dir, XDG_RUNTIME_DIR: dir, CONTAINERS_CONF: '/dev/null' });
  }

  static async create(rig: Rig): Promise<Podman> {
    const dir = await rig.folder('podman');
    const driver = (await overlayWorks(rig)) ? 'overlay' : 'vfs';
    const holder = rig.daemon('mounts', 'unshare', ['--mount', '--propagation', 'private', 'sh', '-c', MOUNTS]);
    await holder.ready('a namespace of its own', START_BOUND_MS, () => holder.log().includes('mounted'));
    const folder = (name: string) => join(dir, name);
    const where = ['--root', folder('graph'), '--runroot', folder('run'), '--tmpdir', folder('libpod')];
    const how = ['--storage-driver', driver, '--runtime', 'crun', '--cgroup-manager', 'cgroupfs'];
    const enter = ['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`, '--'];
    return new Podman(rig, [...enter, 'podman', ...where, ...how, '--events-backend', 'file'], dir);
  }

  /** Runs a command of podman to its end. */
  async run(...args: string[]): Promise<Finished> {
    const [command, ...rest] = [...this.#command, ...args];
    return await run(command!, rest, { env: this.#env, boundMs: COMMAND_BOUND_MS });
  }

  /** One that must succeed; its standard output. */
  async must(...args: string[]): Promise<string> {
    const [command, ...rest] = [...this.#command, ...args];
    return await must(command!, rest, { env: this.#env, boundMs: COMMAND_BOUND_MS });
  }

  /** A container, to its end: options of `podman run`, the image, arguments. */
  async container(...args: string[]): Promise<Finished> {
    return await this.run('run', ...CONTAINER, ...LIMITS, ...args);
  }

  /** A container that goes on running, under a name. */
  daemon(name: string, ...args: string[]): Daemon {
    const [command, ...rest] = [...this.#command, 'run', ...CONTAINER, ...LIMITS, '--name', name, ...args];
    return this.#rig.daemon(name, command!, rest, this.#env);
  }
}
