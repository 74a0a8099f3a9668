import fc from 'fast-check';
import t from 'tap';
import { counted, printable, shortTime, table } from '../../src/cli/table.ts';

const COLUMNS = [
  { title: 'NAME', colourOf: (cell: string) => (cell === 'bad' ? ('red' as const) : undefined) },
  { title: 'N', align: 'right' },
] as const;

t.test('columns are aligned, whatever is in them', (t) => {
  t.equal(
    table(
      COLUMNS,
      [
        ['a', '10'],
        ['longer', '7'],
      ],
      { colour: false },
    ),
    'NAME     N\na       10\nlonger   7\n',
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), { maxLength: 8 }),
      (rows) => {
        const text = table([{ title: 'A' }, { title: 'B', align: 'right' }], rows, { colour: false });
        t.equal(text.split('\n').length, rows.length + 2, 'a line each');
        t.notMatch(text, /[^\P{Cc}\n]/u, 'nothing steers the terminal');
      },
    ),
  );
  t.end();
});

t.test('colour only where it is asked for, and it does not move what follows', (t) => {
  const rows = [
    ['bad', '1'],
    ['good', '2'],
  ];
  t.notMatch(table(COLUMNS, rows, { colour: false }), '\u001B');
  const lines = table(COLUMNS, rows, { colour: true }).split('\n');
  t.equal(lines[1], '\u001B[31mbad\u001B[39m   1');
  t.equal(lines[2], 'good  2');
  t.end();
});

t.test('words', (t) => {
  t.equal(printable('a\u001B[31m\r\n\u009B\u202Eb'), 'a?[31m????b');
  t.equal(shortTime('2026-01-02T03:04:05.678Z'), '2026-01-02 03:04:05Z');
  t.equal(shortTime('whenever'), 'whenever');
  t.same([counted(0, 'peer'), counted(1, 'peer'), counted(2, 'peer')], ['0 peers', '1 peer', '2 peers']);
  t.end();
});
