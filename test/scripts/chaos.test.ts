import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { format } from 'prettier';
import t from 'tap';
import { parseOptions } from '../../scripts/chaos/options.ts';
import { BEGIN, END, outdated, withTable, type Result } from '../../scripts/chaos/table.ts';
import { copyBuild, obstacles, PROGRAM } from '../../scripts/support/build-copy.ts';

const result = (id: string, fault: string, seconds = 1.25): Result => ({
  id,
  cells: [fault, 'all bytes', '`ORIGIN_CUT`', '', 'nobody'],
  seconds,
  without: 'the next try',
});
const PAGE = `# Page\n\n${BEGIN}\n\n${END}\n\nThe end.\n`;
const pretty = (page: string) => format(page, { parser: 'markdown', printWidth: 120 });

t.test('the table holds the rows of a run', async (t) => {
  const results = [result('origin/b', 'one | two'), result('origin/a', 'three')];
  const page = await pretty(withTable(PAGE, results, false));
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  t.match(
    rows[0],
    /^\| `origin\/a` +\| three +\| all bytes +\| `ORIGIN_CUT` \| - +\| nobody +\| 1\.3 +\| the next try +\|$/,
  );
  t.match(rows[1], /^\| `origin\/b` +\| one \\\| two +\|/, 'sorted');
  t.match(page, /^# Page\n[^]*\nThe end\.\n$/, 'what is around it stays');
  t.same(outdated(page, results), []);
  t.same(outdated(page, [result('origin/b', 'one | two', 99), result('origin/a', 'three')]), [], 'times do not count');
  t.same(outdated(page, [result('origin/a', 'four')]), ['origin/a', 'origin/b'], 'another text, a row that is gone');
  t.same(outdated(page, [...results, result('peer/c', 'five')]), ['peer/c'], 'a row that is missing');

  const more = await pretty(withTable(page, [result('origin/a', 'new'), result('peer/c', 'five')], true));
  t.same(
    outdated(more, [result('origin/a', 'new'), results[0]!, result('peer/c', 'five')]),
    [],
    'a part of the rows is put in place',
  );
  const only = await pretty(withTable(more, [result('peer/c', 'five')], false));
  t.same(outdated(only, [result('peer/c', 'five')]), [], 'a whole run leaves nothing else');
  t.throws(() => withTable('# Page\n', [], false), /lacks the markers/);
});

t.test('options', async (t) => {
  const asked = parseOptions(['--row', 'tls', '--without', 'test/chaos/a.test.ts'], '7', () => 1);
  t.match(asked, { row: 'tls', without: true, write: false, seed: 7, files: ['test/chaos/a.test.ts'] });
  t.equal(parseOptions([], undefined, () => 42).seed, 42, 'a seed of its own where none is given');
  t.equal(parseOptions(['--jobs', '7'], undefined, () => 1).jobs, 7);
  t.throws(() => parseOptions(['--without', '--write'], undefined, () => 1), /--write tells of rows that hold/);
  t.throws(() => parseOptions(['--jobs', 'two'], undefined, () => 1), /--jobs is no whole number: two/);
  t.throws(() => parseOptions([], 'x', () => 1), /HAWKER_CHAOS_SEED is no whole number/);
  t.throws(() => parseOptions(['--nonsense'], undefined, () => 1));
});

t.test('a copy of the built program with something taken out', async (t) => {
  const edit = { file: 'registry/limits.js', find: 'stallMs: 10_000', replace: "stallMs: '$&'" };
  const main = await copyBuild(join(t.testdir({}), 'copy'), [edit]);
  t.match(await readFile(join(dirname(main), 'registry/limits.js'), 'utf8'), "stallMs: '$&'", 'to the letter');
  t.match(await readFile(join(dirname(PROGRAM), 'registry/limits.js'), 'utf8'), 'stallMs: 10_000');
  const wrong = [
    { ...edit, find: 'constant' },
    { ...edit, find: 'e' },
    { ...edit, file: 'nowhere.js' },
  ];
  const found = await obstacles([edit, ...wrong]);
  t.equal(found.length, 3);
  t.match(found[0], /limits\.js has 0 times, not once: constant/);
  t.match(found[1], /limits\.js has \d+ times, not once: e/);
  t.match(found[2], /no dist\/nowhere\.js/);
  await t.rejects(copyBuild(join(t.testdir({}), 'other'), wrong), /has 0 times/);
});
