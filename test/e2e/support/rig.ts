import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { existsSync } from 'node:fs';
import type { Test } from 'tap';
import { Daemon, must, tail } from './programs.ts';

/** With `HAWKER_E2E_REQUIRE=1` what cannot be tested here is a failure, not a skip. */
const REQUIRED = process.env['HAWKER_E2E_REQUIRE'] === '1';

/** For one test; every wait in it has its own, shorter bound. */
const TEST_BOUND_MS = 1_800_000;

/** Why a test that needs these programs, and root, cannot run here; undefined: it can. */
export function missing(programs: readonly string[]): string | undefined {
  const path = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const absent = programs.filter((program) => !path.some((dir) => existsSync(join(dir, program))));
  const reasons = [
    ...(process.getuid?.() === 0 ? [] : ['the daemons need root']),
    ...(absent.length > 0 ? [`not installed: ${absent.join(', ')}`] : []),
  ];
  return reasons.length > 0 ? reasons.join('; ') : undefined;
}

/**
 * A test with the real programs that it names, skipped with the reason where they cannot run. What it starts and makes goes
 * away at its end, also when it fails; then the tails of the daemons' logs are printed.
 */
export function e2e(
  t: Test,
  name: string,
  programs: readonly string[],
  body: (t: Test, rig: Rig) => Promise<void>,
): void {
  const reason = missing(programs);
  if (reason && !REQUIRED) {
    t.test(name, { skip: reason }, async () => {});
    return;
  }
  t.setTimeout(TEST_BOUND_MS);
  t.test(name, { timeout: TEST_BOUND_MS }, async (t) => {
    if (reason) throw new Error(`HAWKER_E2E_REQUIRE=1, but ${reason}`);
    const rig = await Rig.create();
    try {
      await body(t, rig);
    } catch (error) {
      t.error(error);
    } finally {
      if (!t.passing()) rig.printLogs();
      await rig.close();
    }
  });
}

/** A directory, and the daemons that live in it. */
export class Rig {
  readonly dir: string;
  readonly #daemons: Daemon[] = [];
  readonly #closers: (() => Promise<void>)[] = [];
  readonly #afterwards: (() => Promise<void>)[] = [];

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(): Promise<Rig> {
    return new Rig(await mkdtemp(join(tmpdir(), 'hawker-')));
  }

  /** A new directory in the rig's own. */
  async folder(name: string): Promise<string> {
    const dir = join(this.dir, name);
    await mkdir(dir, { recursive: true });
    return dir;
  }

  /** Starts a daemon, with no more environment than `env` and the search path. */
  daemon(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Daemon {
    const daemon = new Daemon(name, command, args, join(this.dir, `${name}.log`), this.environment(env));
    this.#daemons.push(daemon);
    return daemon;
  }

  environment(extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return { PATH: `${process.env['PATH']}:/usr/sbin:/sbin`, HOME: this.dir, TMPDIR: this.dir, ...extra };
  }

  /** Called at the end, the last added first, before the daemons are ended. */
  onClose(closer: () => Promise<void>): void {
    this.#closers.push(closer);
  }

  /** Called at the end, when the daemons have ended. */
  onClosed(afterwards: () => Promise<void>): void {
    this.#afterwards.push(afterwards);
  }

  printLogs(): void {
    const logs = new Map(this.#daemons.map((daemon) => [daemon.name, daemon.log()]));
    for (const [name, log] of logs) process.stderr.write(`---- ${name}, the end of its log ----\n${tail(log)}\n`);
  }

  async close(): Promise<void> {
    for (const closer of this.#closers.toReversed()) await closer();
    for (const daemon of this.#daemons.toReversed()) await daemon.stop();
    for (const afterwards of this.#afterwards) await afterwards();
    for (const mount of await mountsUnder(this.dir)) await must('umount', ['--lazy', mount]);
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Mount points below a directory, the innermost first (proc(5): the fifth field of mountinfo, blanks as \040). */
async function mountsUnder(dir: string): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const points = lines.map((line) => line.split(' ')[4]?.replaceAll('\\040', ' ') ?? '');
  return points.filter((point) => point.startsWith(`${dir}/`)).toReversed();
}
