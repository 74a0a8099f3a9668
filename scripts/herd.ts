/**
 * How do proxies come back when their supernode was away? Runs the session's own code of thousands of them against the
 * supernode's, in virtual time: `npm run herd -- --help`.
 */
import { parseArgs } from 'node:util';
import { formatTime } from '../src/base/units.ts';
import { runHerd, type Herd } from './herd/herd.ts';
import { quantile } from './simulate/table.ts';
import { runScript } from './support/run-script.ts';

const USAGE = `Usage: npm run herd -- [options]

The supernode of N proxies shuts down, is away for a time in which connections are refused, and comes back. Prints the most
connections and registrations within 100 ms after that, and how long until 50 %, 99 % and all proxies are back.

  --proxies N,...     (1000,10000)
  --outage S,...      seconds (1,30,600)
  --hello-cost MS     what a registration costs the supernode: those that come meanwhile wait (0)
  --without-jitter    all proxies wait for the same time
  --seed N            the same seed gives the same run (1)
  --help`;

interface Asked {
  readonly help: boolean;
  readonly herds: readonly Herd[];
}

function parse(args: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...args],
    options: {
      proxies: { type: 'string', default: '1000,10000' },
      outage: { type: 'string', default: '1,30,600' },
      'hello-cost': { type: 'string', default: '0' },
      'without-jitter': { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      help: { type: 'boolean', default: false },
    },
  });
  const numbers = (text: string): number[] =>
    text.split(',').map((part) => {
      const value = Number(part);
      if (part.trim() === '' || !(value >= 0)) throw new Error(`${part} is no number`);
      return value;
    });
  const [helloMs = 0] = numbers(values['hello-cost']);
  const [seed = 1] = numbers(values.seed);
  const outages = numbers(values.outage);
  const herds = numbers(values.proxies).flatMap((proxies) =>
    outages.map((seconds) => ({ proxies, outageMs: seconds * 1000, jitter: !values['without-jitter'], helloMs, seed })),
  );
  return { help: values.help, herds };
}

async function main({ herds }: Asked): Promise<number> {
  process.stdout.write(
    'proxies  away     connections  hellos   hellos a  back: 50 %   99 %      all    refused  no room  CPU ms\n',
  );
  process.stdout.write(
    '                 in 100 ms    in 100ms proxy                                 in 100ms          each\n',
  );
  let missing = 0;
  for (const herd of herds) {
    const outcome = await runHerd(herd);
    missing += outcome.missing;
    const { times, worstConnections, worstHellos, hellos, worstRefused, turnedAway, cpuMs } = outcome;
    const columns = [
      String(herd.proxies).padEnd(8),
      formatTime(herd.outageMs).padEnd(8),
      String(worstConnections).padEnd(12),
      String(worstHellos).padEnd(8),
      (hellos / herd.proxies).toFixed(2).padEnd(9),
      formatTime(quantile(times, 0.5)).padEnd(12),
      formatTime(quantile(times, 0.99)).padEnd(9),
      outcome.missing > 0 ? `${outcome.missing} missing` : formatTime(times.at(-1) ?? 0).padEnd(6),
      String(worstRefused).padEnd(8),
      String(turnedAway).padEnd(8),
      cpuMs.toFixed(2),
    ];
    process.stdout.write(`${columns.join(' ')}\n`);
  }
  return missing > 0 ? 1 : 0;
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse }, main);
