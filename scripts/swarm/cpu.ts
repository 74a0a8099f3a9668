import { readFileSync } from 'node:fs';

/** USER_HZ: what /proc counts in (proc(5)). */
const TICKS_PER_SECOND = 100;

/** CPU seconds of this machine since it started: all that its cores could give, and what they did. */
export interface MachineTimes {
  readonly total: number;
  readonly busy: number;
}

export function machineTimes(): MachineTimes {
  const fields = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.split(/ +/).slice(1, 9).map(Number);
  const total = fields.reduce((sum, ticks) => sum + ticks, 0);
  const [, , , idle = 0, iowait = 0] = fields;
  return { total: total / TICKS_PER_SECOND, busy: (total - idle - iowait) / TICKS_PER_SECOND };
}

/** CPU seconds that processes have used so far. */
export function processSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    // The second field, in parentheses, may hold blanks: fields are counted from behind it.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}
