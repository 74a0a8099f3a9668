import { parseArgs } from 'node:util';
import { parseSize } from '../../src/base/units.ts';
import { ALL_RULES, type SwarmRules } from '../../src/p2p/supernode/limits.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios.ts';

/** Short names of rules, as they are called in the design. */
const RULES: Readonly<Record<string, readonly (keyof SwarmRules)[]>> = {
  trim: ['cutLone', 'halve'],
  hol: ['headOfLine'],
  fanout: ['fanOut'],
  early: ['earlyGrant'],
  penalty: ['shrinkSlots'],
  sharing: ['shareLessees'],
  connections: ['moreConnections'],
};

export const USAGE = `Usage: node .build/scripts/simulate.js [options]

Runs the swarm's own code in virtual time, over links that are modelled as flows, and prints how close it comes to the
lower bound. Without options: a small table, in less than a minute.

  --scenario NAME,...   ${Object.keys(SCENARIOS).join(', ')}
  --nodes N,...         nodes, up to 10000
  --rate MB/s           of each node's link, each way
  --origin MB/s,...     of the origin
  --size SIZE,...       of the image's blobs, as in 1.5GB or 800MB,400MB
  --origin-rtt MS       --control-rtt MS       --peer-rtt MS
  --cap MB/s            most that one connection to the origin carries
  --spread MS           nodes begin spread over so long
  --detect MS           until a silent death is noticed (scenario deaths); 0: connections are reset
  --seed N,...          the same seed gives the same run
  --without RULE,...    rules to switch off: ${[...Object.keys(RULES), ...Object.keys(ALL_RULES)].join(', ')}
  --help`;

export interface Asked {
  readonly help: boolean;
  /** None: the default table. */
  readonly scenarios: readonly string[];
  /** Every combination is run. */
  readonly nodes: readonly number[] | undefined;
  readonly originRates: readonly number[] | undefined;
  readonly seeds: readonly number[];
  /** For every run. */
  readonly options: Partial<Scenario>;
}

/** Throws an `Error` that says what is wrong. */
export function parseOptions(args: readonly string[]): Asked {
  const names = [
    'scenario',
    'nodes',
    'rate',
    'origin',
    'size',
    'origin-rtt',
    'control-rtt',
    'peer-rtt',
    'cap',
    'spread',
    'detect',
    'seed',
    'without',
  ];
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean' },
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
    },
  });
  const given: Readonly<Record<string, unknown>> = values;
  const text = (name: string) => given[name] as string | undefined;
  const number = (name: string) => numbers(name, text(name))?.[0];
  const scenarios = text('scenario')?.split(',') ?? [];
  for (const name of scenarios) if (!Object.hasOwn(SCENARIOS, name)) throw new Error(`no scenario is called ${name}`);
  const options = defined({
    nodeRate: scaled(number('rate'), 1e3),
    connectionRate: scaled(number('cap'), 1e3),
    sizes: text('size')?.split(',').map(sizeOf),
    originRtt: number('origin-rtt'),
    controlRtt: number('control-rtt'),
    peerRtt: number('peer-rtt'),
    spread: number('spread'),
    detect: number('detect'),
    rules: text('without') === undefined ? undefined : withoutRules(text('without')!.split(',')),
  });
  return {
    help: given['help'] === true,
    scenarios: scenarios.length === 0 && args.length > 0 ? ['cold'] : scenarios,
    nodes: numbers('nodes', text('nodes')),
    originRates: numbers('origin', text('origin'))?.map((rate) => rate * 1e3),
    seeds: numbers('seed', text('seed')) ?? [1],
    options,
  };
}

function numbers(name: string, text: string | undefined): number[] | undefined {
  return text?.split(',').map((part) => {
    const value = Number(part);
    if (part.trim() === '' || !(value >= 0)) throw new Error(`--${name} takes numbers, not ${part}`);
    return value;
  });
}

function scaled(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value * by;
}

function sizeOf(text: string): number {
  const size = parseSize(text);
  if (!size) throw new Error(`--size takes sizes with a unit, as in 256MiB, not ${text}`);
  return size;
}

function withoutRules(names: readonly string[]): Partial<SwarmRules> {
  const off: Partial<Record<keyof SwarmRules, boolean>> = {};
  for (const name of names) {
    const rules = RULES[name] ?? (Object.hasOwn(ALL_RULES, name) ? [name as keyof SwarmRules] : undefined);
    if (!rules) throw new Error(`no rule is called ${name}`);
    for (const rule of rules) off[rule] = false;
  }
  return off;
}

/** Without the entries that say nothing. */
function defined(options: { [K in keyof Scenario]?: Scenario[K] | undefined }): Partial<Scenario> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
