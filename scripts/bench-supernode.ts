/**
 * What a supernode costs: the memory of idle sessions, and how many piece reports it takes on one core.
 * `npm run bench:supernode -- --help`. Linux only: it reads /proc.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Child } from './bench-supernode/processes.ts';
import type { Counts } from './bench-supernode/member.ts';
import type { BusyResult, IdleResult, Result, ReturnResult } from './bench-supernode/results.ts';
import { runScript } from './support/run-script.ts';

const USAGE = `Usage: npm run bench:supernode -- [options]

Starts a supernode in a process of its own, on a core of its own, and proxies that speak to it, as cheaply as they can, from
another process. The machine's speed is taken out by a bare WebSocket server that parses and answers the same messages.

  --idle N,...      registered sessions that only send heartbeats: its memory (1000,10000)
  --peers N,...     proxies that want a blob, report each piece and get the next assignment: reports a second (200,1000)
  --returning N     proxies that come back to a supernode that was restarted, each with --blobs blobs (1000)
  --blobs N         that each of them has (200)
  --pieces N        of a blob (4096)
  --seconds N       that are measured (10)
  --single          each report is a message of its own; else what one turn of the event loop brings goes together, as from proxies
  --profile DIR     writes a CPU profile of the supernode there
  --json            prints JSON
  --help`;

/**
 * Marks, for a supernode with one core: MiB of resident memory by sessions, and reports a second, where a bare server takes
 * 120,000 messages.
 */
const MARKS = { residentMiB: { 1000: 100, 10_000: 400 }, reportsPerSecond: 40_000, shareOfBare: 1 / 3 } as const;
/** The supernode grants no lease in its first two seconds, and then everybody begins at once. */
const WARM_UP_MS = 5000;
/** A supernode compiles its validators in its first moments. */
const STARTED_MS = 2000;
/** Until the garbage of inventories has been collected. */
const RETURNED_MS = 15_000;
/** Until the garbage of the registrations has been collected. */
const IDLE_MS = 60_000;

interface Asked {
  readonly returning: number;
  readonly blobs: number;
  readonly idle: readonly number[];
  readonly peers: readonly number[];
  readonly pieces: number;
  readonly seconds: number;
  readonly together: boolean;
  readonly profile: string | undefined;
  readonly json: boolean;
  readonly help: boolean;
}

function parse(args: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...args],
    options: {
      idle: { type: 'string', default: '1000,10000' },
      peers: { type: 'string', default: '200,1000' },
      returning: { type: 'string', default: '1000' },
      blobs: { type: 'string', default: '200' },
      pieces: { type: 'string', default: '4096' },
      seconds: { type: 'string', default: '10' },
      single: { type: 'boolean', default: false },
      profile: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const { profile, json, help, single } = values;
  const one = (name: string, text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes whole numbers from 1 on, not ${text}`);
    return value;
  };
  const some = (name: string, text: string) =>
    text.split(',').flatMap((part) => (part === '' ? [] : [one(name, part)]));
  return {
    idle: some('idle', values.idle),
    peers: some('peers', values.peers),
    returning: values.returning === '' ? 0 : one('returning', values.returning),
    blobs: one('blobs', values.blobs),
    pieces: one('pieces', values.pieces),
    seconds: one('seconds', values.seconds),
    together: !single,
    profile,
    json,
    help,
  };
}

/** A supernode (or another `server`) and `peers` members of it, for as long as `measure` takes. */
async function withLoad<T>(
  server: 'supernode' | 'bare',
  peers: number,
  { pieces, together, profile }: Asked,
  measure: (supernode: Child, load: Child) => Promise<T>,
  blobs = 0,
): Promise<T> {
  const node = profile === undefined || server === 'bare' ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const supernode = new Child(`${server}.js`, [], { core: 0, node });
  const { port } = await supernode.heard<{ port: number }>();
  const load = new Child('load.js', [port, peers, pieces, together ? 1 : 0, blobs], { core: 1 });
  try {
    // What it compiles at its start is no part of anything that is measured.
    await sleep(STARTED_MS);
    const measured = measure(supernode, load);
    const broken = supernode.ended.then(() => Promise.reject(new Error('the supernode has ended')));
    return await Promise.race([measured, broken]);
  } finally {
    await load.stop();
    await supernode.stop();
  }
}

/** Registrations of proxies that have blobs, as after a restart of the supernode; and of as many that have none, for the memory. */
async function returning(peers: number, asked: Asked): Promise<ReturnResult> {
  const register = (blobs: number) =>
    withLoad(
      'supernode',
      peers,
      asked,
      async (supernode, load) => {
        const before = { at: performance.now(), cpu: supernode.cpuSeconds() };
        await load.ask('register');
        const seconds = (performance.now() - before.at) / 1000;
        const cpuSeconds = supernode.cpuSeconds() - before.cpu;
        await sleep(RETURNED_MS);
        return { seconds, cpuSeconds, residentMiB: supernode.residentMiB() };
      },
      blobs,
    );
  const bare = await register(0);
  const full = await register(asked.blobs);
  const bytesPerBlob = ((full.residentMiB - bare.residentMiB) * 2 ** 20) / (peers * asked.blobs);
  return { kind: 'return', peers, blobs: asked.blobs, ...full, bytesPerBlob };
}

function idle(sessions: number, asked: Asked): Promise<IdleResult> {
  return withLoad('supernode', sessions, asked, async (supernode, load) => {
    await load.ask('register');
    const before = supernode.cpuSeconds();
    await sleep(IDLE_MS);
    const { open, closed } = await load.ask<Counts>('counts');
    if (open !== sessions || closed > 0) throw new Error(`${closed} of ${sessions} sessions were closed`);
    const markMiB = sessions in MARKS.residentMiB ? MARKS.residentMiB[sessions as 1000] : undefined;
    const cpu = (supernode.cpuSeconds() - before) / (IDLE_MS / 1000);
    return { kind: 'idle', sessions, residentMiB: supernode.residentMiB(), markMiB, cpu };
  });
}

function busy(kind: BusyResult['kind'], peers: number, asked: Asked): Promise<BusyResult> {
  return withLoad(kind === 'bare' ? 'bare' : 'supernode', peers, asked, async (supernode, load) => {
    await load.ask('register');
    await load.ask('start');
    await sleep(WARM_UP_MS);
    const take = async () => {
      const counts = await load.ask<Counts>('counts');
      return { counts, at: performance.now(), cpu: supernode.cpuSeconds() };
    };
    const before = await take();
    await sleep(asked.seconds * 1000);
    const after = await take();
    if (after.counts.closed > 0) throw new Error(`${after.counts.closed} sessions were closed`);
    const reports = after.counts.reports - before.counts.reports;
    const seconds = (after.at - before.at) / 1000;
    const cpuSeconds = after.cpu - before.cpu;
    return {
      kind,
      peers,
      reportsPerSecond: reports / seconds,
      reportsPerCoreSecond: reports / cpuSeconds,
      assignedPerReport: (after.counts.assigned - before.counts.assigned) / reports,
      reportsPerMessage: reports / (after.counts.messages - before.counts.messages),
      cpu: cpuSeconds / seconds,
      residentMiB: supernode.residentMiB(),
    };
  });
}

function lineOf(result: Result): string {
  const whole = (value: number) => Math.round(value).toLocaleString('en');
  if (result.kind === 'return') {
    const { peers, blobs, seconds, cpuSeconds, residentMiB, bytesPerBlob } = result;
    return (
      `${whole(peers)} proxies with ${blobs} blobs each come back in ${seconds.toFixed(2)} s (${cpuSeconds.toFixed(2)} CPU seconds): ` +
      `${whole(residentMiB)} MiB resident, ${whole(bytesPerBlob)} bytes for each blob of each proxy`
    );
  }
  if (result.kind === 'idle') {
    const { sessions, residentMiB, markMiB, cpu } = result;
    const mark = markMiB === undefined ? '' : ` (mark: ${markMiB})`;
    return `${whole(sessions)} idle sessions: ${whole(residentMiB)} MiB resident${mark}, ${(cpu * 100).toFixed(1)} % of a core`;
  }
  const { kind, peers, reportsPerSecond, reportsPerCoreSecond, reportsPerMessage, cpu, residentMiB } = result;
  const mark = kind === 'busy' ? ` (mark: ${whole(MARKS.reportsPerSecond)})` : ' by a bare server';
  return (
    `${whole(peers)} proxies: ${whole(reportsPerCoreSecond)} reports a core-second${mark}, ` +
    `${whole(reportsPerSecond)} a second by the clock at ${Math.round(cpu * 100)} % of a core; ` +
    `${reportsPerMessage.toFixed(2)} reports a message, ${result.assignedPerReport.toFixed(2)} assigned a report; ${whole(residentMiB)} MiB`
  );
}

async function main(asked: Asked): Promise<number> {
  const results: Result[] = [];
  const take = (result: Result) => {
    results.push(result);
    if (!asked.json) process.stdout.write(`${lineOf(result)}\n`);
  };
  for (const sessions of asked.idle) take(await idle(sessions, asked));
  if (asked.returning > 0) take(await returning(asked.returning, asked));
  for (const peers of asked.peers) {
    const bare = await busy('bare', peers, asked);
    take(bare);
    const own = await busy('busy', peers, asked);
    take(own);
    if (asked.json) continue;
    const share = own.reportsPerCoreSecond / bare.reportsPerCoreSecond;
    // The mark was set with messages of one report each.
    const mark = asked.together ? '' : ` (mark: ${MARKS.shareOfBare.toFixed(2)})`;
    process.stdout.write(`  ${share.toFixed(2)} of the bare server${mark}\n`);
  }
  if (asked.json)
    process.stdout.write(`${JSON.stringify({ node: process.version, marks: MARKS, results }, undefined, 2)}\n`);
  return 0;
}

process.exitCode = await runScript(process.argv.slice(2), { usage: USAGE, parse }, main);
