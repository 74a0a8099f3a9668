import { formatTime } from '../base/units.ts';
import type { PeersAnswer } from '../app/answers.ts';
import { byName, shortIds } from './names.ts';
import { counted, filledColumns, printable, shortTime, table, type Colour } from './table.ts';

const STATE_COLOURS: Readonly<Record<string, Colour>> = { ready: 'green', stale: 'yellow', unreachable: 'red' };

/** Clocks that differ less are not worth a word. */
const CLOCK_SHOWN_MS = 2000;

const PEER_COLUMNS = [
  { title: 'ID' },
  { title: 'HOST' },
  { title: 'ADDRESS' },
  { title: 'STATE', colourOf: (state: string) => STATE_COLOURS[state] },
  { title: 'ZONE' },
  { title: 'VERSION' },
  { title: 'PROTOCOL' },
  { title: 'CLOCK' },
  { title: 'SECRET' },
  { title: 'SINCE' },
  { title: 'BLOBS', align: 'right' },
  { title: 'REASON' },
] as const;

const REJECTED_COLUMNS = [
  { title: 'ADDRESS' },
  { title: 'HOST' },
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
    const here = peers.filter(({ state }) => state !== 'left');
    const protocols = new Set(here.map(({ protocol }) => protocol));
    const isRotating = here.some(({ secrets = [] }) => secrets.length > 0 && secrets.join() !== 'current');
    const sorted = peers.toSorted((a, b) => byName(a.host, b.host));
    const rows = sorted.map(
      ({ id, host, addresses, state, zone, version, protocol, clockSkewMs, secrets = [], since, blobs, reason }) => {
        const mixed = (protocols.size > 1 && protocol) || '-';
        const secret = (isRotating && secrets.join('+')) || '-';
        const about = [state, zone || '-', version, mixed, clockText(clockSkewMs), secret];
        const last = [shortTime(since), String(blobs), reason || '-'];
        return [shortOf.get(id)!, host || '-', addressText(addresses), ...about, ...last];
      },
    );
    const filled = filledColumns(PEER_COLUMNS, rows);
    parts.push(table(filled.columns, filled.rows, { colour }));
    const versions = tally(here.map(({ version }) => [version, 1]));
    if (versions.includes(',')) parts.push(`Versions differ: ${versions}.\n`);
  }
  if (rejected.length > 0) {
    const rows = rejected.map(({ address, host, code, at, count, message }) => {
      return [address, host ?? '', code, shortTime(at), String(count), message];
    });
    const filled = filledColumns(REJECTED_COLUMNS, rows);
    parts.push('Rejected registrations:\n', table(filled.columns, filled.rows, { colour }));
  }
  return parts.join('\n').replaceAll('registrations:\n\n', 'registrations:\n');
}

/** How far a clock is ahead of the supernode's, where that is worth a look. */
function clockText(skewMs = 0): string {
  const seconds = Math.round(skewMs / 1000);
  if (Math.abs(skewMs) < CLOCK_SHOWN_MS) return '-';
  return `${seconds > 0 ? '+' : '-'}${formatTime(Math.abs(seconds) * 1000)}`;
}

/** The first, and how many more there are. */
function addressText([first = '-', ...more]: readonly string[]): string {
  return more.length === 0 ? first : `${first} +${more.length}`;
}

/** The count is what is connected now; a zero comes with its causes. */
function summary(url: string, peers: PeersAnswer['peers'], rejected: PeersAnswer['rejected']): string {
  const at = `at ${url}`;
  const left = peers.filter(({ state }) => state === 'left').length;
  const here = peers.length - left;
  const turnedAway = rejected.reduce((sum, { count }) => sum + count, 0);
  const codes = tally(rejected.map(({ code, count }) => [code, count]));
  if (here > 0) return `${counted(here, 'peer')} ${at}: ${tally(peers.map(({ state }) => [state, 1]))}.`;
  const causes = [
    ...(left > 0 ? [`${left} ${left === 1 ? 'has' : 'have'} left`] : []),
    ...(turnedAway > 0 ? [`${counted(turnedAway, 'registration')} rejected (${codes})`] : []),
  ];
  if (causes.length > 0) return `No peers ${at}: ${causes.join(', ')}; the reasons are below.`;
  return `No peers ${at}: nobody has registered since it started. Point a proxy to it (--supernodes ${url}); \`hawker doctor\` on its node says why it is not connected.`;
}

/** `2 ready, 1 stale`, the most frequent first. */
function tally(entries: readonly (readonly [string, number])[]): string {
  const counts = new Map<string, number>();
  for (const [name, count] of entries) counts.set(name, (counts.get(name) ?? 0) + count);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([name, count]) => `${count} ${printable(name)}`).join(', ');
}
