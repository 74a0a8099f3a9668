const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** As people read it: 1536 is `1.5 KiB`. */
export function sizeText(bytes: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${UNITS[unit]}`;
}

const SPANS: readonly [name: string, seconds: number][] = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
];

/** How long ago a time was (ISO 8601), seen from `now` (milliseconds since 1970). */
export function agoText(time: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(time)) / 1000));
  for (const [name, length] of SPANS) if (seconds >= length) return `${Math.floor(seconds / length)} ${name} ago`;
  return seconds < 10 ? 'just now' : 'under 1 min ago';
}

/** In the reader's own zone, to the second. */
export function timeText(time: string | number): string {
  return new Date(time).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
}

/** How far a clock is ahead of, or behind, another. */
export function skewText(ms: number): string {
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 0.1) return 'within 0.1 s';
  return `${seconds < 100 ? seconds.toFixed(1) : Math.round(seconds).toLocaleString('en')} s ${ms > 0 ? 'ahead' : 'behind'}`;
}

/** A round figure to end an axis with: the least of 1, 2, 5, 10, 20, 50, 100, 200 or 500 of a unit that is as much. */
export function roundUp(bytes: number): number {
  let unit = 1;
  while (bytes > 500 * unit && unit < 2 ** 60) unit *= 1024;
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((number) => number * unit >= bytes);
  return (step ?? 1024) * unit;
}

/** The beginning of a digest, for tables. */
export function shortDigest(digest: string): string {
  const colon = digest.indexOf(':');
  return digest.slice(0, colon + 13);
}

export function percentText(part: number, whole: number): string {
  if (whole === 0 || part === 0) return '0 %';
  const percent = (100 * part) / whole;
  return percent < 1 ? 'under 1 %' : `${Math.floor(percent)} %`;
}

export function countText(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}
