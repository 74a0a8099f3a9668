import { parseArgs } from 'node:util';
import { parseTime } from '../../src/base/units.ts';
import { CAUSES } from './causes.ts';

const MAX_JOBS = 64;

export const USAGE = `Usage: npm run faults -- [options] [CAUSE ...]
       node .build/scripts/faults.js [options] [CAUSE ...]      (built by npm run build && npm run build:test)

Puts clusters into network namespaces, breaks each in one way (firewall, DNS, kill -9, clock, configuration, ...), and looks at what
\`hawker peers\`, \`hawker doctor\` and the logs say, and at how long the cluster takes to be whole once the cause is gone.
Without CAUSE: all, and docs/faults.md is written. Removes everything. Needs root, and Linux.

  --jobs COUNT          causes at the same time (4)
  --freeze TIME         what is frozen stays so for this long, as in 30s (30s)
  --heartbeat TIME      of the proxies (5s)
  --logs DIR            keep logs and configurations there
  --help

Causes: ${CAUSES.map(({ name }) => name).join(' ')}`;

export interface Asked {
  readonly help: boolean;
  /** Names of causes; none: all. */
  readonly only: readonly string[];
  readonly jobs: number;
  readonly freezeMs: number;
  readonly heartbeat: string;
  readonly logs: string | undefined;
}

/** Throws an `Error` that says what is wrong. */
export function parseOptions(args: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      jobs: { type: 'string', default: '4' },
      freeze: { type: 'string', default: '30s' },
      heartbeat: { type: 'string', default: '5s' },
      logs: { type: 'string' },
    },
  });
  const unknown = positionals.find((name) => !CAUSES.some((cause) => cause.name === name));
  if (unknown !== undefined) throw new Error(`there is no cause ${unknown}`);
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1 || jobs > MAX_JOBS)
    throw new Error(`--jobs is from 1 to ${MAX_JOBS}, not ${values.jobs}`);
  time('heartbeat', values.heartbeat);
  return {
    help: values.help,
    only: positionals,
    jobs,
    freezeMs: time('freeze', values.freeze),
    heartbeat: values.heartbeat,
    logs: values.logs,
  };
}

function time(name: string, text: string): number {
  const ms = parseTime(text);
  if (ms === undefined) throw new Error(`--${name} takes a time with a unit, as in 5s, not ${text}`);
  return ms;
}
