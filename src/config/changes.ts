import { isDeepStrictEqual } from 'node:util';
import type { Config } from './config.ts';
import { SETTINGS } from './settings.ts';

/** What a name of the file may have gained in `Config`: its unit. */
const UNITS = ['', 'Ms', 'Bytes'];
const RENAMED: Readonly<Record<string, string>> = {
  uploadLimit: 'uploadBytesPerSecond',
  downloadLimit: 'downloadBytesPerSecond',
};

/** The dotted keys that differ between two configurations, in the order of the schema. */
export function changedKeys(before: Config, after: Config): string[] {
  return SETTINGS.filter(({ path }) => !isDeepStrictEqual(valueOf(before, path), valueOf(after, path))).map(
    (s) => s.key,
  );
}

function valueOf(config: Config, path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => {
    const entries = Object.entries(part as object);
    return entries.find(([key]) => UNITS.some((unit) => key === (RENAMED[name] ?? name) + unit))?.[1];
  }, config);
}
