export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

const SIZE_UNITS: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB,
  MiB,
  GiB,
  TiB: 1024 * GiB,
};
const TIME_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const SIZE_FORMAT = 'a number with a unit: B, KB, MB, GB, TB, KiB, MiB, GiB or TiB, as in 20GiB';
export const TIME_FORMAT = 'a number with a unit: ms, s, m, h or d, as in 5s or 24h';

/** Bytes in a size like `20GiB` or `1.5 GB`; undefined for anything else (a bare number too, but for 0). */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, SIZE_UNITS);
}

/** Milliseconds in a time like `5s` or `24h`; undefined for anything else (a bare number too, but for 0). */
export function parseTime(text: string): number | undefined {
  return parseQuantity(text, TIME_UNITS);
}

function parseQuantity(text: string, units: Record<string, number>): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([A-Za-z]*)$/.exec(text.trim());
  if (!match) return undefined;
  const [, number, unit] = match as unknown as [string, string, string];
  if (unit === '') return Number(number) === 0 ? 0 : undefined;
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) return undefined;
  const value = Math.round(Number(number) * factor);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `1536` as `1.5 KiB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 1 : 0).replace(/\.0$/, '')} ${units[unit]}`;
}

/** Milliseconds as `850 ms`, `12.3 s`, `4 min`. */
export function formatTime(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}
