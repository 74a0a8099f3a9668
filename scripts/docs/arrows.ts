import { createRequire } from 'node:module';
import { code, tableOf } from './markdown.ts';

interface Rules {
  readonly forbidden: readonly { readonly name: string; readonly comment?: string }[];
}

/** What each room of src/ may import, by the rules that the lint holds, in their order: from the bottom up. */
export function arrows(root: string): Map<string, readonly string[]> {
  const { forbidden } = createRequire(import.meta.url)(`${root}/.dependency-cruiser.cjs`) as Rules;
  const rooms = new Map<string, readonly string[]>();
  for (const { name, comment = '' } of forbidden) {
    if (!name.startsWith('arrow-')) continue;
    const room = name.slice('arrow-'.length);
    const [, allowed] = /may import only: (.*)$/.exec(comment) ?? [];
    if (allowed === undefined) throw new Error(`.dependency-cruiser.cjs: what may ${room} import?`);
    rooms.set(
      room,
      allowed.split(', ').filter((other) => other !== room),
    );
  }
  return rooms;
}

/** The part of docs/architecture.md about them: each room with its sentence. Throws where the rooms and `jobs` are not the same. */
export function roomsTable(root: string, jobs: Readonly<Record<string, string>>): string {
  const rooms = arrows(root);
  const strangers = Object.keys(jobs).filter((room) => !rooms.has(room));
  if (strangers.length > 0) throw new Error(`there is no room ${strangers.join(', ')}`);
  const rows = [...rooms].map(([room, below]) => {
    const job = jobs[room];
    if (job === undefined) throw new Error(`scripts/docs/rooms.ts: what is ${room} for?`);
    return [code(`${room}/`), job, below.length === 0 ? 'nothing' : below.map(code).join(', ')];
  });
  return tableOf(['room', 'what it is for', 'may import'], rows);
}
