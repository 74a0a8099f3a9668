import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import type { Test } from 'tap';

/** The page whose tables the runs of some tests fill. */
const PAGE = 'docs/security.md';
const END = '<!-- end -->';

/** Which test fills which table. */
const TABLES = {
  cluster: 'test/e2e/strangers.test.ts',
  supernode: 'test/e2e/strangers.test.ts',
  'cluster with TLS': 'test/e2e/strangers-tls.test.ts',
  'mirror with logins': 'test/e2e/strangers-tls.test.ts',
} as const;

export type Table = keyof typeof TABLES;
export const ALL_TABLES = Object.keys(TABLES) as Table[];

/** What each actor (the first cell of a row) could do of each thing (the head). */
export interface Rights {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The page has to say so; with `--write` it is made to. */
export async function checkRights(t: Test, table: Table, rights: Rights): Promise<void> {
  if (process.env['HAWKER_E2E_WRITE'] === '1') {
    const text = withRights(await readFile(PAGE, 'utf8'), table, rights);
    await writeFile(PAGE, await format(text, { ...(await resolveConfig(PAGE)), filepath: PAGE }));
  }
  const said = rightsIn(await readFile(PAGE, 'utf8'), table);
  t.same(said, rights, `${PAGE} says so (npm run test:e2e -- --write ${TABLES[table]})`);
}

/** A cell, by the HTTP status of an attempt; 0: nobody could be reached. */
export function outcome(status: number): string {
  return status === 0 ? 'no (no connection)' : status < 300 ? 'yes' : `no (${status})`;
}

/** The same where what is behind the gate may say of the request what it likes. */
export function entered(status: number): string {
  return status === 0 || status === 401 || status === 403 ? outcome(status) : 'yes';
}

/** The table as the page has it. Throws without markers. */
export function rightsIn(page: string, name: Table): Rights {
  const [, table] = split(page, name);
  const [head = [], , ...rows] = table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => {
      const cells = line.split('|').slice(1, -1);
      return cells.map((cell) => cell.trim());
    });
  return { head, rows };
}

/** The page with this table in it. Throws without markers. */
function withRights(page: string, name: Table, { head, rows }: Rights): string {
  const [before, , after] = split(page, name);
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${before}${beginOf(name)}\n\n${lines.join('\n')}\n\n${END}${after}`;
}

function split(page: string, name: Table): [before: string, table: string, after: string] {
  const begin = beginOf(name);
  const from = page.indexOf(begin);
  const to = page.indexOf(END, from);
  if (from === -1 || to === -1) throw new Error(`the page lacks the markers ${begin} and ${END}`);
  return [page.slice(0, from), page.slice(from + begin.length, to), page.slice(to + END.length)];
}

function beginOf(name: Table): string {
  return `<!-- ${name}: written by \`npm run test:e2e -- --write ${TABLES[name]}\`: begin -->`;
}
