import type { Result } from '../../../scripts/chaos/table.ts';
import type { Blamed, Moved, Row, Seen } from './row.ts';

/** A row that held, as the table of docs/reliability.md has it. */
export function resultOf({ id, fault, seen, codes, moved, blamed, without }: Row, seconds: number): Result {
  const cells = [
    fault,
    seenInWords(seen),
    codes.map(asCode).join(', '),
    moved.map(movedInWords).join('; '),
    blamedInWords(blamed),
  ];
  return { id, cells, seconds, without: without.taken };
}

function seenInWords(seen: Seen): string {
  if (seen.kind === 'told') return seen.words;
  if (seen.kind === 'cut') return 'an early FIN';
  if (seen.kind === 'refused') return `404 with ${asCode(seen.code)}`;
  const { source, status = 200 } = seen;
  const from = typeof source === 'string' ? source : source.source.replaceAll('|', ' or ');
  return `all bytes, status ${status}, from ${from}`;
}

function movedInWords(moved: Moved): string {
  return `${asCode(metricInWords(moved))} by ${amount(moved.by)}`;
}

/** `hawker_peer_bytes_total{direction="in"}` */
export function metricInWords({ name, labels = {} }: Moved): string {
  const parts = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return parts.length > 0 ? `${name}{${parts.join()}}` : name;
}

/** `2`, `2 or more`, `2 to 4` */
export function amount(by: Moved['by']): string {
  if (typeof by === 'number') return String(by);
  return by.atMost === undefined ? `${by.atLeast} or more` : `${by.atLeast} to ${by.atMost}`;
}

function blamedInWords({ who, code, field }: Blamed): string {
  return code === undefined ? who : `${who} (${asCode(field ?? '')} of ${asCode(code)})`;
}

function asCode(text: string): string {
  return `\`${text}\``;
}
