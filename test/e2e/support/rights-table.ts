/** The part of docs/security.md that the run of test/e2e/strangers.test.ts fills. */
export const RIGHTS_PAGE = 'docs/security.md';
const BEGIN = '<!-- Written by `npm run test:e2e -- --write test/e2e/strangers.test.ts`: begin -->';
const END = '<!-- end -->';

/** What each actor (the first cell of a row) could do of each thing (the head). */
export interface Rights {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The table as the page has it. Throws without markers. */
export function rightsIn(page: string): Rights {
  const [, table] = split(page);
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
export function withRights(page: string, { head, rows }: Rights): string {
  const [before, , after] = split(page);
  const lines = [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${before}${BEGIN}\n\n${lines.join('\n')}\n\n${END}${after}`;
}

function split(page: string): [before: string, table: string, after: string] {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END, from);
  if (from === -1 || to === -1) throw new Error(`the page lacks the markers ${BEGIN} and ${END}`);
  return [page.slice(0, from), page.slice(from + BEGIN.length, to), page.slice(to + END.length)];
}
