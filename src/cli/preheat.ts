import { setTimeout as sleep } from 'node:timers/promises';
import { PreheatAnswer } from '../app/answers.ts';
import { formatSize, parseTime, TIME_FORMAT } from '../base/units.ts';
import type { Config } from '../config/config.ts';
import { unlessAborted } from '../proxy/unless-aborted.ts';
import { parsePlatform } from '../registry/platform.ts';
import { parseReference } from '../registry/reference.ts';
import {
  askService,
  commandService,
  deleteAt,
  firstSupernode,
  supernodeAt,
  type ServiceAddress,
} from './api-client.ts';
import { PreheatIncomplete, ServiceUnreachable, UsageWrong } from './errors.ts';
import { DONE, FAILED, failureLine } from './exit.ts';
import { interruptible } from './interrupt.ts';
import { byName, peerNames } from './names.ts';
import type { PreheatFlags } from './preheat-flags.ts';
import type { ProcessPort } from './process-port.ts';
import { Progress, type Bar } from './progress.ts';
import { counted, filledColumns, printable, table, type Colour } from './table.ts';
import { hasColour, terminalLook } from './terminal.ts';

/** How often the supernode is asked how it stands, in milliseconds. */
const ASK_MS = 500;
/** How long it may be away meanwhile, in milliseconds. */
const AWAY_MS = 30_000;
/** Bars on a terminal; further peers share the last one. */
const MOST_BARS = 16;

type Peer = PreheatAnswer['peers'][number];

const STATE_COLOURS: Readonly<Record<string, Colour>> = {
  done: 'green',
  failed: 'red',
  cancelled: 'yellow',
  left: 'yellow',
};
const COLUMNS = [
  { title: 'PEER' },
  { title: 'ZONE' },
  { title: 'STATE', colourOf: (state: string) => STATE_COLOURS[state] },
  { title: 'BLOBS', align: 'right' },
  { title: 'SIZE', align: 'right' },
  { title: 'RESTARTS', align: 'right' },
  { title: 'CODE' },
  { title: 'REASON' },
] as const;

/**
 * Orders the image, and unless told not to, waits until every peer has it or has failed; or cancels an order. The exit status. Told to
 * stop while it waits, it leaves the order running: others may count on it, and the terminal may just have gone away.
 */
export async function runPreheat(
  image: string | undefined,
  flags: PreheatFlags,
  config: Pick<Config, 'supernodes' | 'cluster'>,
  port: ProcessPort,
): Promise<number> {
  if ((image === undefined) === (flags.cancel === undefined)) throw wrong('name an image, or an order with --cancel');
  if (image === undefined) return await cancel(flags.cancel!, flags, config, port);
  const order = orderOf(image, flags);
  const { url, answer } = await firstSupernode(config, (address) =>
    commandService(address, '/api/v1/preheat', order, PreheatAnswer),
  );
  if (flags.wait === false) {
    const line = `Ordered from ${counted(answer.peers.length, 'peer')} at ${url}: ${answer.id}\n`;
    port.print(flags.json === true ? `${JSON.stringify(answer)}\n` : line);
    return DONE;
  }
  const todo = `end it with hawker preheat --cancel ${printable(answer.id)}, or follow it at ${url}/api/v1/preheats/${printable(answer.id)}`;
  const { signal, done } = interruptible(port, 'the order goes on', todo);
  const look = flags.json === true ? undefined : terminalLook(port);
  const progress = look && new Progress((text) => port.print(text), look);
  let shown = answer;
  progress?.show(() => barsOf(shown));
  let last: PreheatAnswer;
  try {
    last = await untilOver(supernodeAt(url, config), answer, signal, (next) => (shown = next));
  } finally {
    done();
    progress?.clear();
  }
  port.print(flags.json === true ? `${JSON.stringify(last)}\n` : preheatText(last, { colour: hasColour(port) }));
  const error = incompleteOf(last);
  if (error) port.complain(failureLine(error));
  return error ? FAILED : DONE;
}

async function cancel(
  id: string,
  flags: PreheatFlags,
  config: Pick<Config, 'supernodes' | 'cluster'>,
  port: ProcessPort,
): Promise<number> {
  const path = `/api/v1/preheat/${encodeURIComponent(id)}`;
  const { answer } = await firstSupernode(config, (address) => deleteAt(address, path, PreheatAnswer));
  const text = () => `${endOf(answer)}\n${preheatText(answer, { colour: hasColour(port) })}`;
  port.print(flags.json === true ? `${JSON.stringify(answer)}\n` : text());
  return DONE;
}

function endOf({ id, state }: PreheatAnswer): string {
  return state === 'cancelled' ? `Cancelled: ${printable(id)}` : `It was over already (${state}): ${printable(id)}`;
}

/** The body of the request. Throws USAGE_WRONG. */
function orderOf(image: string, { zone, peers, all, platform, timeout }: PreheatFlags): object {
  if (!parseReference(image)) throw wrong(`${JSON.stringify(image)} is no image`);
  if (all === true && (zone !== undefined || peers !== undefined)) throw wrong('--all goes with no --zone, no --peers');
  const count = peers === undefined ? undefined : Number(peers);
  if (count !== undefined && !(Number.isSafeInteger(count) && count > 0)) throw wrong('--peers is a number above 0');
  const platforms = platform?.split(',');
  const odd = platforms?.find((text) => text !== 'all' && !parsePlatform(text));
  if (odd !== undefined) throw wrong(`--platform is os/architecture, as in linux/arm64, or all; not ${odd}`);
  if (timeout !== undefined && parseTime(timeout) === undefined) throw wrong(`--timeout is ${TIME_FORMAT}`);
  return { image, zone, peers: count, platforms, timeout };
}

function wrong(why: string): Error {
  return new UsageWrong({ why, command: 'hawker preheat' });
}

async function untilOver(
  address: ServiceAddress,
  order: PreheatAnswer,
  signal: AbortSignal,
  seen: (answer: PreheatAnswer) => void,
): Promise<PreheatAnswer> {
  let answer = order;
  let awaySince: number | undefined;
  while (answer.state === 'running') {
    try {
      await unlessAborted(sleep(ASK_MS), signal);
      answer = await unlessAborted(askService(address, `/api/v1/preheats/${order.id}`, PreheatAnswer), signal);
      awaySince = undefined;
      seen(answer);
    } catch (error) {
      awaySince ??= performance.now();
      if (!(error instanceof ServiceUnreachable) || performance.now() - awaySince > AWAY_MS) throw error;
    }
  }
  return answer;
}

function barsOf({ peers }: PreheatAnswer): Bar[] {
  const nameOf = peerNames(peers);
  const shown = peers.length > MOST_BARS ? peers.slice(0, MOST_BARS - 1) : peers;
  const rest = peers.slice(shown.length);
  const bars = shown.map((peer) => barOf(nameOf.get(peer.id)!, [peer], noteOf(peer)));
  if (rest.length > 0) {
    const done = rest.filter(({ state }) => state === 'done').length;
    bars.push(barOf(`${rest.length} more`, rest, `${done} done`));
  }
  return bars;
}

function barOf(label: string, peers: readonly Peer[], note: string): Bar {
  const here = peers.reduce((sum, { bytesHere }) => sum + bytesHere, 0);
  const bytes = peers.reduce((sum, { bytes }) => sum + bytes, 0);
  return { label, parts: [{ source: 'peers', size: here }], total: bytes === 0 ? undefined : bytes, note };
}

function noteOf({ state, bytes, failure, reason }: Peer): string {
  if (failure) return failure.code;
  return state === 'left' ? reason : `${state}${bytes > 0 ? `, ${formatSize(bytes)}` : ''}`;
}

function preheatText({ image, digest, peers }: PreheatAnswer, { colour }: { colour: boolean }): string {
  const done = peers.filter(({ state }) => state === 'done').length;
  const what = `${printable(image)}${digest === null ? '' : ` (${digest})`}`;
  const all = done === peers.length ? (done === 1 ? 'the one peer' : `all ${done} peers`) : '';
  const summary = `${what} is on ${all || `${done} of ${counted(peers.length, 'peer')}`}.\n`;
  const nameOf = peerNames(peers);
  const sorted = peers.toSorted((a, b) => byName(nameOf.get(a.id)!, nameOf.get(b.id)!));
  const rows = sorted.map((peer) => {
    const { id, zone, state, blobs, blobsHere, bytes, restarts, failure, reason } = peer;
    const amounts = [blobs === blobsHere ? String(blobs) : `${blobsHere} of ${blobs}`, formatSize(bytes)];
    const why = [failure?.code ?? '-', failure?.message ?? (reason || '-')];
    return [nameOf.get(id)!, zone || '-', state, ...amounts, restarts === 0 ? '-' : String(restarts), ...why];
  });
  const filled = filledColumns(COLUMNS, rows);
  return `${summary}\n${table(filled.columns, filled.rows, { colour })}`;
}

/** Who has not, and why; undefined: all have it. */
function incompleteOf({ peers }: PreheatAnswer): Error | undefined {
  const missing = peers.filter(({ state }) => state !== 'done');
  const [first] = missing;
  if (!first) return undefined;
  const { code, message, todo } = first.failure ?? { code: 'UNKNOWN', message: first.reason, todo: 'see its log' };
  const who = peerNames(peers).get(first.id)!;
  const what = `${printable(who)}: ${code}, ${printable(message)}`;
  return new PreheatIncomplete({ missing: missing.length, of: peers.length, first: what, todo });
}
