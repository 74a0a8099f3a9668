import { readFileSync } from 'node:fs';

export { PROTOCOL_VERSION } from '../p2p/protocol/version.ts';

/** Hawker's own version, from its package.json, which lies above this file: one directory more when built for the tests. */
export function programVersion(): string {
  for (const above of ['../..', '../../..']) {
    try {
      const text = readFileSync(new URL(`${above}/package.json`, import.meta.url), 'utf8');
      const { name, version } = JSON.parse(text) as { name?: string; version?: string };
      if (name === 'hawker' && version !== undefined) return version;
    } catch {
      // Not there: the next one up.
    }
  }
  return 'unknown';
}
