import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { alertsTable } from './alerts.ts';
import { roomsTable } from './arrows.ts';
import { commandParts } from './commands.ts';
import { configurationParts } from './configuration.ts';
import { withParts } from './markers.ts';
import { messageParts } from './messages.ts';
import { ROOMS } from './rooms.ts';

/** The pages of which parts are made from the code, and those parts. */
export function madeParts(root: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  return new Map([
    ['docs/commands.md', commandParts()],
    ['docs/configuration.md', configurationParts(root)],
    ['docs/operating.md', new Map([['alerts', alertsTable(root)]])],
    ['docs/architecture.md', new Map([['rooms', roomsTable(root, ROOMS)], ...messageParts()])],
  ]);
}

/** A page as it is to be: with what the code gives now in its parts, formatted. */
export async function pageAsMade(root: string, page: string, parts: ReadonlyMap<string, string>): Promise<string> {
  const path = join(root, page);
  const text = withParts(readFileSync(path, 'utf8'), parts);
  return format(text, { ...(await resolveConfig(path)), filepath: path });
}
