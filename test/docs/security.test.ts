import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import { ALL_TABLES, rightsIn } from '../e2e/support/rights-table.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const PAGE = resolve(ROOT, 'docs/security.md');
const FINDINGS = 19;
const text = readFileSync(PAGE, 'utf8');

t.test('each finding of the audit has a line, whose test is there', async (t) => {
  const rows = [...text.matchAll(/^\| (\d+) +\|[^|]+\|[^|]+\| `([^`]+)`: (.+?) +\|$/gm)];
  t.same(
    rows.map(([, number]) => Number(number)),
    Array.from({ length: FINDINGS }, (_, index) => index + 1),
  );
  for (const [, number, file, title] of rows as unknown as [string, string, string, string][]) {
    const path = resolve(ROOT, file);
    t.ok(existsSync(path) && readFileSync(path, 'utf8').includes(`'${title}'`), `${number}: ${file} has ${title}`);
  }
});

t.test('each test that the text names is there', async (t) => {
  for (const [, file] of text.matchAll(/`(test\/[\w/.-]+\.ts)`/g)) t.ok(existsSync(resolve(ROOT, file!)), `${file}`);
});

t.test('the tables of who can do what are whole', async (t) => {
  for (const table of ALL_TABLES) {
    const { head, rows } = rightsIn(text, table);
    t.ok(head.length > 1 && rows.length > 1, table);
    for (const row of rows) {
      t.equal(row.length, head.length, `${table}: ${row[0]}`);
      for (const cell of row.slice(1)) t.match(cell, /^(?:yes|no \([^)]+\))$/, `${table}: ${row[0]}`);
    }
  }
});
