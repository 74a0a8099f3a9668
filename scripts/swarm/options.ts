import { parseArgs } from 'node:util';
import { LOG_LEVELS, type LogLevel } from '../../src/base/log.ts';
import { parseSize, parseTime } from '../../src/base/units.ts';
import { BITTORRENT } from './bittorrent.ts';
import type { Shape } from './bound.ts';

export const RIVALS = ['direct', 'pull-through', ...BITTORRENT] as const;
export type Rival = (typeof RIVALS)[number];

/** Their addresses are of one /24. */
const MAX_NODES = 200;
const MAX_RUNS = 100;

export const USAGE = `Usage: npm run swarm -- [options] [N]
       node .build/scripts/swarm.js [options] [N]      (built by npm run build && npm run build:test)

Puts up N nodes (8) in network namespaces behind a bridge, each with a shaped link, a registry and a supernode in theirs; pulls a
blob that nobody has on all nodes at once; prints each node's time, and the times over the lower bound
max(S/O, S/R, N*S/(O+N*R)). Headers alone make that 1.046. Removes everything. Needs root, and Linux.

  --rate MBIT           each node's link, each way, in Mbit/s (200)
  --origin-rate MBIT    the registry's link (as --rate)
  --size SIZE           of the blob, as in 256MiB (256MiB)
  --runs COUNT          each with fresh stores, proxies and supernode (1)
  --stagger TIME        the nodes begin evenly spread over so long, as in 5s (0)
  --warm-up SIZE        before the clock starts, pull another blob of that size on all: code is then compiled, connections
                        stand and the origin is known, as where Hawker has run for a while (0)
  --rival NAME          instead of Hawker: ${RIVALS.join(', ')} (one docker-registry as a pull-through
                        cache; the others: BitTorrent with opentracker)
  --json                one JSON object a run
  --logs DIR            keep the logs there
  --log-level LEVEL     of the proxies and the supernode (info)
  --help`;

export interface Asked extends Shape {
  readonly help: boolean;
  readonly runs: number;
  readonly staggerMs: number;
  /** Of the blob that is pulled before the clock starts, in bytes; 0: none. */
  readonly warmUp: number;
  readonly rival: Rival | undefined;
  readonly json: boolean;
  /** Where logs are kept. */
  readonly logs: string | undefined;
  readonly logLevel: LogLevel;
}

/** Throws an `Error` that says what is wrong. */
export function parseOptions(args: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      rate: { type: 'string', default: '200' },
      'origin-rate': { type: 'string' },
      size: { type: 'string', default: '256MiB' },
      runs: { type: 'string', default: '1' },
      stagger: { type: 'string', default: '0' },
      'warm-up': { type: 'string', default: '0' },
      rival: { type: 'string' },
      logs: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
    },
  });
  if (positionals.length > 1) throw new Error(`one number of nodes, not ${positionals.join(' ')}`);
  const rate = megabits('rate', values.rate);
  const { rival, 'log-level': logLevel } = values;
  return {
    help: values.help,
    json: values.json,
    nodes: count('the number of nodes', positionals[0] ?? '8', MAX_NODES),
    rate,
    originRate: values['origin-rate'] === undefined ? rate : megabits('origin-rate', values['origin-rate']),
    size: quantity('size', values.size, parseSize(values.size) || undefined, '256MiB'),
    runs: count('--runs', values.runs, MAX_RUNS),
    staggerMs: quantity('stagger', values.stagger, parseTime(values.stagger), '5s'),
    warmUp: quantity('warm-up', values['warm-up'], parseSize(values['warm-up']), '64MiB'),
    rival: rival === undefined ? undefined : oneOf('rival', rival, RIVALS),
    logs: values.logs,
    logLevel: oneOf('log-level', logLevel, LOG_LEVELS),
  };
}

/** As bits a second. */
function megabits(name: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 1 && value <= 100_000)) {
    throw new Error(`--${name} takes Mbit/s from 1 to 100000, not ${text}`);
  }
  return value * 1e6;
}

function count(what: string, text: string, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) throw new Error(`${what} is from 1 to ${most}, not ${text}`);
  return value;
}

function quantity(name: string, text: string, value: number | undefined, example: string): number {
  if (value === undefined) throw new Error(`--${name} takes a number with a unit, as in ${example}, not ${text}`);
  return value;
}

function oneOf<T extends string>(name: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined) throw new Error(`--${name} is one of ${choices.join(', ')}, not ${text}`);
  return found;
}
