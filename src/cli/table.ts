export type Colour = 'green' | 'yellow' | 'red';

/** One column: its title, and how its cells stand. */
export interface Column {
  readonly title: string;
  readonly align?: 'right';
  readonly colourOf?: (cell: string) => Colour | undefined;
}

const GAP = '  ';
/** ECMA-48, SGR. */
const SGR: Record<Colour, number> = { red: 31, green: 32, yellow: 33 };

/** An aligned table, each row a line. Colour is for terminals only. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { colour }: { colour: boolean },
): string {
  const lines = rows.map((row) => row.map(printable));
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, i) =>
    lines.reduce((most, line) => Math.max(most, width(line[i]!)), width(titles[i]!)),
  );
  const format = (line: readonly string[], coloured: boolean) => {
    const cells = columns.map(({ align, colourOf }, i) => {
      const cell = line[i]!;
      const space = ' '.repeat(widths[i]! - width(cell));
      const tint = coloured ? colourOf?.(cell) : undefined;
      const text = tint === undefined ? cell : paint(cell, tint);
      return align === 'right' ? space + text : text + space;
    });
    return `${cells.join(GAP).trimEnd()}\n`;
  };
  return [format(titles, false), ...lines.map((line) => format(line, colour))].join('');
}

/** For terminals only. */
export function paint(text: string, colour: Colour): string {
  return `\u001B[${SGR[colour]}m${text}\u001B[39m`;
}

/** In code points: what others call themselves is mostly plain text. */
function width(text: string): number {
  return Array.from(text).length;
}

/** What others wrote must not steer the terminal: control characters become `?`. */
export function printable(text: string): string {
  return text.replaceAll(/[\u0000-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]/g, '?');
}

/** `2026-01-02T03:04:05.678Z` as `2026-01-02 03:04:05Z`; anything else as it is. */
export function shortTime(iso: string): string {
  return iso.replace(/^([\d-]{10})T([\d:]{8})\.\d+Z$/, '$1 $2Z');
}

/** Without the columns in which no row says anything: `-` and nothing. */
export function filledColumns<C extends Column>(
  columns: readonly C[],
  rows: readonly (readonly string[])[],
): { columns: C[]; rows: string[][] } {
  const kept = columns.map((_, i) => i).filter((i) => rows.some((row) => row[i] !== '' && row[i] !== '-'));
  return { columns: kept.map((i) => columns[i]!), rows: rows.map((row) => kept.map((i) => row[i]!)) };
}

/** `1 peer`, `2 peers`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
