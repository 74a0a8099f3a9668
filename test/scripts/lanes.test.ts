import t from 'tap';
import { inLanes } from '../../scripts/support/lanes.ts';
import type { TapRun } from '../../scripts/support/run-tap.ts';

const RUN: TapRun = {
  options: ['--an-option'],
  files: ['x/a.test.js', 'x/b.test.js', 'x/c.test.js', 'x/d.test.js'],
  depth: 1,
};

/** Lanes whose files end when they are told to. */
function rig(count: number, alone: readonly string[] = [], first: readonly string[] = []) {
  const open = new Map<string, (failed: number) => void>();
  const log: string[] = [];
  const run = inLanes(
    {
      count,
      first,
      alone,
      enter: (file) => {
        log.push(`enter ${file}`);
        return { wrapper: ['in', file], leave: () => log.push(`leave ${file}`) };
      },
    },
    ({ files, wrapper, options, print }) =>
      new Promise((resolve) => {
        const [file] = files;
        log.push([...wrapper!, ...options].join(' '));
        open.set(file!, (failed) => {
          print!(`ran ${file!}`);
          // As when tap itself breaks, no file is named with the second failure.
          resolve({ tally: { passed: 2, failed, skipped: 1 }, failedFiles: failed === 1 ? [file!] : [] });
        });
      }),
  );
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const end = async (name: string, failed = 0) => {
    const file = `x/${name}.test.js`;
    open.get(file)!(failed);
    open.delete(file);
    await turn();
  };
  const printed: string[] = [];
  return { log, printed, open, end, result: run({ ...RUN, print: (line) => printed.push(line) }) };
}

t.test('so many at a time, each in surroundings of its own; the next begins when one has ended', async (t) => {
  const { open, end, result, log, printed } = rig(2);
  t.same([...open.keys()], ['x/a.test.js', 'x/b.test.js']);
  t.ok(log.includes('in x/a.test.js --an-option'));
  await end('b', 1);
  t.same([...open.keys()], ['x/a.test.js', 'x/c.test.js']);
  t.ok(log.includes('leave x/b.test.js'));
  t.same(printed, ['ran x/b.test.js'], 'its report is shown when it has ended');
  await end('a');
  await end('c');
  await end('d', 2);
  t.same(await result, { tally: { passed: 8, failed: 3, skipped: 4 }, failedFiles: ['x/b.test.js', 'x/d.test.js'] });
});

t.test('those that want the machine for themselves come last, one by one', async (t) => {
  const { open, end, result } = rig(3, ['a', 'c', 'not there']);
  t.same([...open.keys()], ['x/b.test.js', 'x/d.test.js']);
  await end('b');
  t.same([...open.keys()], ['x/d.test.js']);
  await end('d');
  t.same([...open.keys()], ['x/a.test.js']);
  await end('a');
  t.same([...open.keys()], ['x/c.test.js']);
  await end('c');
  t.match(await result, { tally: { failed: 0 }, failedFiles: [] });
});

t.test('those that take long come first, in the order in which they are named', async (t) => {
  const { open, end, result } = rig(2, ['a'], ['d', 'not there', 'c', 'a']);
  t.same([...open.keys()], ['x/d.test.js', 'x/c.test.js']);
  await end('d');
  await end('c');
  t.same([...open.keys()], ['x/b.test.js']);
  await end('b');
  await end('a');
  t.match(await result, { tally: { failed: 0 } });
});
