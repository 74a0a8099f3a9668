import type { PeersAnswer } from './answers.ts';
import { shortIds } from './names.ts';
import { counted, filledColumns, printable, shortTime, table, type Colour } from './table.ts';

const STATE_COLOURS: Readonly<Record<string, Colour>> = { ready: 'green', stale: 'yellow', unreachable: 'red' };

const PEER_COLUMNS = [
  { title: 'ID' },
  { title: 'HOST' },
  { title: 'ADDRESS' },
  { title: 'STATE', colourOf: (state: string) => STATE_COLOURS[state] },
  { title: 'ZONE' },
  { title: 'VERSION' },
  { title: 'SINCE' },
  { title: 'BLOBS', align: 'right' },
  { title: 'REASON' },
] as const;

const REJECTED_COLUMNS = [
  { title: 'ADDRESS' },
  { title: 'CODE' },
  { title: 'LAST' },
  { title: 'TIMES', align: 'right' },
  { title: 'MESSAGE' },
] as const;

/** What `hawker peers` prints: who is here, then who was turned away; a zero with its causes. */
export function peersText(url: string, { peers, rejected }: PeersAnswer, { colour }: { colour: boolean }): string {
  const parts = [`${summary(url, peers, rejected)}\n`];
  if (peers.length > 0) {
    const shortOf = shortIds(peers.map(({ id }) => id));
    const rows = peers.map(({ id, host, addresses, state, zone, version, since, blobs, reason }) => {
      const address = addressText(addresses);
      const about = [state, zone || '-', version, shortTime(since), String(blobs), reason || '-'];
      return [shortOf.get(id)!, host || '-', address, ...about];
    });
    const filled = filledColumns(PEER_COLUMNS, rows);
    parts.push(table(filled.columns, filled.rows, { colour }));
  }
  if (rejected.length > 0) {
    const rows = rejected.map(({ address, code, at, count, message }) => {
      return [address, code, shortTime(at), String(count), message];
    });
    parts.push('Rejected registrations:\n', table(REJECTED_COLUMNS, rows, { colour }));
  }
  return parts.join('\n').replaceAll('registrations:\n\n', 'registrations:\n');
}

/** The first, and how many more there are. */
function addressText([first = '-', ...more]: readonly string[]): string {
  return more.length === 0 ? first : `${first} +${more.length}`;
}

function summary(url: string, peers: PeersAnswer['peers'], rejected: PeersAnswer['rejected']): string {
  const at = `at ${url}`;
  if (peers.length > 0)
    return `${counted(peers.length, 'peer')} ${at}: ${tally(peers.map(({ state }) => [state, 1]))}.`;
  if (rejected.length === 0) {
    return `No peers ${at}: nobody has registered since it started. Point a proxy to it (--supernodes ${url}); \`hawker status\` on its node says why it is not connected.`;
  }
  const codes = tally(rejected.map(({ code, count }) => [code, count]));
  const times = rejected.reduce((sum, { count }) => sum + count, 0);
  return `No peers ${at}: ${counted(times, 'registration')} rejected (${codes}); the reasons are below.`;
}

/** `2 ready, 1 stale`, the most frequent first. */
function tally(entries: readonly (readonly [string, number])[]): string {
  const counts = new Map<string, number>();
  for (const [name, count] of entries) counts.set(name, (counts.get(name) ?? 0) + count);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([name, count]) => `${count} ${printable(name)}`).join(', ');
}
