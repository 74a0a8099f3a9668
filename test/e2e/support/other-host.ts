import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { must } from './programs.ts';
import type { Rig } from './rig.ts';
import { until } from './wait.ts';

const START_BOUND_MS = 10_000;

/** Another machine, as far as the network goes: a network namespace of its own, with a cable to this one. */
export class OtherHost {
  /** This machine's end of the cable, where the other one reaches it. */
  readonly here: string;
  /** Put before a command, runs it there. */
  readonly by: readonly string[];

  private constructor(here: string, by: readonly string[]) {
    this.here = here;
    this.by = by;
  }

  static async start(rig: Rig): Promise<OtherHost> {
    const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    rig.onClosed(async () => void holder.kill('SIGKILL'));
    const own = readlinkSync('/proc/self/ns/net');
    const space = `/proc/${holder.pid}/ns/net`;
    await until('a network namespace', START_BOUND_MS, async () => readlinkSync(space) !== own);
    const by = ['nsenter', `--net=${space}`];
    const [here, there] = ['10.77.8.1', '10.77.8.2'];
    await must('ip', ['link', 'add', 'hwk-login', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(holder.pid)]);
    rig.onClosed(async () => void (await must('ip', ['link', 'del', 'hwk-login']).catch(() => undefined)));
    await must('ip', ['address', 'add', `${here}/30`, 'dev', 'hwk-login']);
    await must('ip', ['link', 'set', 'hwk-login', 'up']);
    for (const args of [
      ['address', 'add', `${there}/30`, 'dev', 'eth0'],
      ['link', 'set', 'eth0', 'up'],
      ['link', 'set', 'lo', 'up'],
    ])
      await must(by[0]!, [...by.slice(1), 'ip', ...args]);
    return new OtherHost(here, by);
  }
}
