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

/** `running` with the settings of `keys` as `next` has them. */
export function withKeys(running: Config, next: Config, keys: ReadonlySet<string>): Config {
  const merged = structuredClone(running);
  for (const { path, key } of SETTINGS) {
    if (!keys.has(key)) continue;
    const part = valueOf(merged, path.slice(0, -1)) as Record<string, unknown> | undefined;
    const name = part && nameIn(part, path.at(-1)!);
    if (part && name !== undefined) part[name] = valueOf(next, path);
  }
  return merged;
}

function valueOf(config: Config, path: readonly string[]): unknown {
  return path.reduce<unknown>((part, name) => {
    // A section that is not there has none of its settings.
    const own = part === undefined ? undefined : nameIn(part as object, name);
    return own === undefined ? undefined : (part as Record<string, unknown>)[own];
  }, config);
}

/** The name that a step of a setting's path has in the configuration. */
function nameIn(part: object, step: string): string | undefined {
  return Object.keys(part).find((key) => UNITS.some((unit) => key === (RENAMED[step] ?? step) + unit));
}
