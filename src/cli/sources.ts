import { formatSize } from '../base/units.ts';

const WORDS = {
  origin: 'from the origin',
  peers: 'from peers',
  store: 'from the store',
  mixed: 'from several',
  kept: 'from an earlier try',
} as const;

/** `120 MiB from the origin, 904 MiB from peers`: bytes by where they came from, those that there are. */
export function sourcesText(bytes: Partial<Readonly<Record<keyof typeof WORDS, number>>>): string {
  const parts = (Object.keys(WORDS) as (keyof typeof WORDS)[]).flatMap((source) => {
    const count = bytes[source] ?? 0;
    return count > 0 ? [`${formatSize(count)} ${WORDS[source]}`] : [];
  });
  return parts.join(', ') || 'nothing to fetch';
}
