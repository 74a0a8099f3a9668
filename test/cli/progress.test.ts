import fc from 'fast-check';
import t from 'tap';
import { barLines, Progress, type Bar, type BarLook } from '../../src/cli/progress.ts';

const ASCII: BarLook = { columns: 80, colour: false, unicode: false };
const ESCAPES = /\u001B\[[\d;]*m/g;

function bar(label: string, origin: number, peers: number, total: number | undefined, note = ''): Bar {
  const parts = [
    { source: 'origin', size: origin },
    { source: 'peers', size: peers },
  ] as const;
  return { label, parts, total, note };
}

t.test('a line a bar: how much is here, from where', (t) => {
  const bars = [bar('node 1', 25, 25, 100, 'half'), bar('node 10', 0, 100, 100, 'all'), bar('x', 0, 0, 100, 'none')];
  t.same(barLines(bars, { ...ASCII, columns: 44 }), [
    '  node 1   ooooo#####..........   50%  half',
    '  node 10  ####################  100%  all',
    '  x        ....................    0%  none',
  ]);
  t.same(barLines([bar('a', 5, 0, 10)], { ...ASCII, columns: 22, unicode: true }), ['  a  ▒▒▒▒····   50%']);
  t.same(barLines([bar('a', 5, 0, 10, 'long')], { ...ASCII, columns: 24 }), ['  a  oooo....   50%  lo']);
  t.same(barLines([bar('a', 5, 5, undefined, '5 B')], { ...ASCII, columns: 25 }), ['  a  ........        5 B']);
  t.match(barLines([bar('a', 0, 0, 0)], ASCII)[0], /100%$/, 'of nothing, all is here');
  t.match(barLines([bar('a', 90, 90, 100)], ASCII)[0], /o#+ +100%$/, 'never more than all');
  t.same(barLines([], ASCII), []);
  t.end();
});

t.test('colour is on top of the same cells', (t) => {
  const bars = [bar('a', 1, 2, 4, 'n')];
  const [line] = barLines(bars, { ...ASCII, colour: true });
  t.match(line, '\u001B[33moooooooooo\u001B[0m\u001B[32m####################\u001B[0m');
  t.equal(line!.replaceAll(ESCAPES, ''), barLines(bars, ASCII)[0]);
  t.end();
});

t.test('whatever is in them, no line is as long as the terminal is wide', (t) => {
  const size = fc.integer({ min: 0, max: 1e12 });
  const some = fc.record({
    label: fc.string({ maxLength: 30 }),
    note: fc.string({ maxLength: 60 }),
    parts: fc.array(fc.record({ source: fc.constantFrom('origin', 'peers', 'store'), size }), { maxLength: 3 }),
    total: fc.option(size, { nil: undefined }),
  });
  const look = fc.record({ columns: fc.integer({ min: 1, max: 200 }), colour: fc.boolean(), unicode: fc.boolean() });
  fc.assert(
    fc.property(fc.array(some, { maxLength: 5 }), look, (bars, of) => {
      for (const line of barLines(bars, of)) {
        t.ok(line.replaceAll(ESCAPES, '').length < of.columns);
        t.notMatch(line.replaceAll(ESCAPES, ''), /[\u0000-\u001F]/);
      }
    }),
  );
  t.end();
});

/** A terminal, as far as bars use one: its lines, and what was written each time. */
class Screen {
  lines = [''];
  row = 0;
  writes = 0;

  print(text: string): void {
    this.writes += 1;
    for (const [, escape, other] of text.matchAll(/(\u001B\[\d*[A-Z])|([^\u001B])/gs)) {
      if (escape === undefined) this.#put(other!);
      else if (escape.endsWith('A')) this.row -= Number(escape.slice(2, -1));
      else if (escape.endsWith('J')) this.lines.splice(this.row, Infinity, '');
      else if (!escape.endsWith('K')) throw new Error(`unknown: ${JSON.stringify(escape)}`);
    }
  }

  #column = 0;

  #put(character: string): void {
    if (character === '\n') {
      this.row += 1;
      this.#column = 0;
      this.lines[this.row] ??= '';
    } else if (character === '\r') this.#column = 0;
    else {
      const line = this.lines[this.row]!;
      this.lines[this.row] = line.slice(0, this.#column).padEnd(this.#column) + character;
      this.#column += 1;
    }
  }
}

t.test('bars are drawn over themselves, in one write, and only when something is new', (t) => {
  const screen = new Screen();
  screen.print('before\n');
  const progress = new Progress(
    (text) => screen.print(text),
    () => ASCII,
  );
  let bars = [bar('a', 0, 0, 10), bar('b', 0, 0, 10)];
  progress.show(() => bars);
  t.match(screen.lines, ['before', /^ {2}a .* 0%$/, /^ {2}b .* 0%$/, '']);
  progress.draw();
  t.equal(screen.writes, 2, 'nothing new, nothing written');
  bars = [bar('a', 0, 10, 10), bar('b', 5, 0, 10)];
  progress.draw();
  t.match(screen.lines, ['before', /^ {2}a .* 100%$/, /^ {2}b .* 50%$/, '']);
  t.equal(screen.writes, 3);
  bars = [bar('c', 0, 0, 10)];
  progress.draw();
  t.match(screen.lines, ['before', /^ {2}c /, '']);
  progress.clear();
  t.same(screen.lines, ['before', '']);
  progress.clear();
  screen.print('after\n');
  t.same(screen.lines, ['before', 'after', '']);
  t.end();
});
