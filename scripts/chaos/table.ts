/** One row of the catalogue that held. */
export interface Result {
  readonly id: string;
  /** Fault, what the client sees, codes, metrics, whom the node blames. */
  readonly cells: readonly string[];
  readonly seconds: number;
  /** What was taken out when the row had to fail. */
  readonly without: string;
}

export const BEGIN = '<!-- Written by `npm run test:chaos -- --write`: begin -->';
export const END = '<!-- end -->';

const HEAD = ['Row', 'Fault', 'The client sees', 'Log', 'Metric', 'Blamed', 'Seconds', 'Fails without'];
const SECONDS = HEAD.indexOf('Seconds');

/** The page with the table of these results. `keepOthers`: rows that are not among them stay as they are. Throws without markers. */
export function withTable(page: string, results: readonly Result[], keepOthers: boolean): string {
  const [before, table, after] = split(page);
  const rows = new Map(results.map((result) => [result.id, cellsOf(result)]));
  if (keepOthers) for (const [id, cells] of rowsOf(table)) if (!rows.has(id)) rows.set(id, cells);
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, cells]) => cells);
  const lines = [HEAD, HEAD.map(() => '---'), ...sorted].map((cells) => `| ${cells.join(' | ')} |`);
  return `${before}${BEGIN}\n\n${lines.join('\n')}\n\n${END}${after}`;
}

/** What the page says otherwise than these results, by row; times are never the same twice, and do not count. */
export function outdated(page: string, results: readonly Result[]): string[] {
  const known = rowsOf(split(page)[1]);
  const wrong = results.filter((result) => {
    const cells = known.get(result.id);
    return !cells || cells.some((cell, index) => index !== SECONDS && cell !== cellsOf(result)[index]);
  });
  const gone = [...known.keys()].filter((id) => !results.some((result) => result.id === id));
  return [...wrong.map(({ id }) => id), ...gone];
}

function cellsOf({ id, cells, seconds, without }: Result): string[] {
  return [`\`${id}\``, ...cells, seconds.toFixed(1), without].map((cell) => cell.replaceAll('|', '\\|') || '-');
}

function split(page: string): [before: string, table: string, after: string] {
  const from = page.indexOf(BEGIN);
  const to = page.indexOf(END, from);
  if (from === -1 || to === -1) throw new Error(`the page lacks the markers ${BEGIN} and ${END}`);
  return [page.slice(0, from), page.slice(from + BEGIN.length, to), page.slice(to + END.length)];
}

/** Cells by the id in the first of them. */
function rowsOf(table: string): Map<string, string[]> {
  const lines = table.split('\n').filter((line) => /^\| `[a-z-]+\//.test(line));
  const rows = lines.map((line) =>
    line
      .replace(/^\| /, '')
      .replace(/ \|$/, '')
      .split(/ *(?<!\\)\| */)
      .map((cell) => cell.trim()),
  );
  return new Map(rows.map((cells) => [cells[0]!.replaceAll('`', ''), cells]));
}
