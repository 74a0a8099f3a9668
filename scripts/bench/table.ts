import type { Row } from './marks.ts';
import { short } from './measure.ts';

const HEADER = ['case', 'figure', 'ours', 'rivals', 'against', '', 'mark', ''];

/** The rows as a table of text, each column as wide as it must be. */
export function table(rows: readonly Row[]): string {
  const cells = [HEADER, ...rows.map(cellsOf)];
  const widths = HEADER.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function cellsOf({ case: name, figure, ours, rivals, against, judged, as, mark, met }: Row): string[] {
  const others = Object.entries(rivals).map(([rival, value]) => `${rival} ${short(value)}`);
  const compared =
    as === 'ratio' ? `${judged.toFixed(2)} ×` : as === 'excess' ? `${short(judged)} more` : short(judged);
  return [name, figure, short(ours), others.join(', '), against ?? '', compared, mark, met ? 'met' : 'MISSED'];
}
