import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

/** The least share of the lines of src/ that the tests must run, in percent. */
export const MIN_LINES_PERCENT = 95;

export interface Verdict {
  /** Lines of src/ that were run, in percent of those in the files that were loaded. */
  percent: number;
  /** Why the gate is shut, a line each; empty: it is open. */
  failures: string[];
}

interface Summary {
  [file: string]: { lines: { total: number; covered: number } };
}

/**
 * Judges the coverage of src/ by tap's json-summary. tap itself knows no threshold but 100 %, and leaves out a file that no
 * test loads; here such a file shuts the gate, unless it holds types only (tsc then emits nothing but `export {}`).
 */
export function judgeCoverage(root: string): Verdict {
  const summary = readSummary(join(root, '.tap/report/coverage-summary.json'));
  const failures: string[] = [];
  let total = 0;
  let covered = 0;
  for (const file of sourceFiles(join(root, 'src'))) {
    const lines = summary[file]?.lines;
    if (lines) {
      total += lines.total;
      covered += lines.covered;
    } else if (hasCode(join(root, '.build', relative(root, file).replace(/\.ts$/, '.js')))) {
      failures.push(`no test loads ${relative(root, file)}`);
    }
  }
  const percent = total === 0 ? 0 : (100 * covered) / total;
  if (percent < MIN_LINES_PERCENT) {
    failures.push(`the tests run ${percent.toFixed(2)} % of the lines of src/; ${MIN_LINES_PERCENT} % are asked for`);
  }
  return { percent, failures };
}

/** The files of src/ by their share of run lines, the least first: where to look when the gate is shut. */
export function leastCovered(root: string, count: number): string[] {
  return Object.entries(readSummary(join(root, '.tap/report/coverage-summary.json')))
    .filter(([file]) => file.startsWith(join(root, 'src/')))
    .map(([file, { lines }]) => ({
      file: relative(root, file),
      missed: lines.total - lines.covered,
      total: lines.total,
    }))
    .filter(({ missed }) => missed > 0)
    .sort((a, b) => b.missed - a.missed)
    .slice(0, count)
    .map(({ file, missed, total }) => `${file}: ${missed} of ${total} lines not run`);
}

function readSummary(file: string): Summary {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Summary) : {};
}

function sourceFiles(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => resolve(dir, name));
}

function hasCode(emitted: string): boolean {
  const text = readFileSync(emitted, 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
  return text.trim() !== 'export {};';
}
