import t from 'tap';
import type { Tally, TapRun, TapResult } from '../../scripts/support/run-tap.ts';
import { closingLines, MAX_FLAKY_FILES, retriesOf, runTests } from '../../scripts/support/run-tests.ts';

/** A run that says what it is told to: for each time, the files that fail. */
function runs(...failures: (readonly string[])[]) {
  const asked: (readonly string[])[] = [];
  const run = async ({ options, files }: TapRun): Promise<TapResult> => {
    const failedFiles = failures[asked.length]!;
    asked.push([...options, ...files]);
    const tally: Tally = { passed: 10, failed: failedFiles.length, skipped: 1 };
    return { tally, failedFiles };
  };
  return { asked, run };
}

const RUN = { options: ['--an-option'], files: ['a', 'b', 'c', 'd'], depth: 0 };

t.test('what passes is run once', async (t) => {
  const { asked, run } = runs([]);
  t.same(await runTests({ ...RUN, retries: 1 }, run), { passed: 10, failed: 0, skipped: 1, flaky: [] });
  t.same(asked, [['--an-option', 'a', 'b', 'c', 'd']]);
});

t.test('what fails is run again alone, as often as allowed; what passes then is named', async (t) => {
  const once = runs(['a', 'c'], []);
  const outcome = await runTests({ ...RUN, retries: 1 }, once.run);
  t.same(outcome, { passed: 10, failed: 0, skipped: 1, flaky: ['a', 'c'] });
  t.same(once.asked[1]!.slice(-2), ['a', 'c']);
  t.ok(once.asked[1]!.includes('--jobs=1'));
  t.equal(
    closingLines(outcome),
    'flaky: a failed, and passed when it was run again\nflaky: c failed, and passed when it was run again\n10 passed, 0 failed, 1 skipped\n',
  );
  const never = runs(['a']);
  t.match(await runTests(RUN, never.run), { failed: 1, flaky: [] }, 'not unless it is asked for');
  t.equal(never.asked.length, 1);
});

t.test('what fails again has failed', async (t) => {
  const { asked, run } = runs(['a', 'b'], ['b'], ['b']);
  t.match(await runTests({ ...RUN, retries: 2 }, run), { failed: 1, flaky: ['a'] });
  t.same(
    asked.map((args) => args.filter((arg) => !arg.startsWith('-'))),
    [['a', 'b', 'c', 'd'], ['a', 'b'], ['b']],
  );
});

t.test('many failures are no chance, and one without a file is nothing to run again', async (t) => {
  const many = runs(RUN.files.slice(0, MAX_FLAKY_FILES + 1));
  t.match(await runTests({ ...RUN, retries: 1 }, many.run), { failed: MAX_FLAKY_FILES + 1, flaky: [] });
  t.equal(many.asked.length, 1);
  const broken = async () => ({ tally: { passed: 0, failed: 1, skipped: 0 }, failedFiles: [] });
  t.match(await runTests({ ...RUN, retries: 1 }, broken), { failed: 1, flaky: [] });
});

t.test('how often is told by the environment', async (t) => {
  t.equal(retriesOf({}), 0);
  t.equal(retriesOf({ HAWKER_TEST_RETRIES: '2' }), 2);
  for (const wrong of ['', '-1', 'yes', '10'])
    t.throws(() => retriesOf({ HAWKER_TEST_RETRIES: wrong }), /HAWKER_TEST_RETRIES/);
  t.equal(closingLines({ passed: 3, failed: 1, skipped: 0, flaky: [] }), '3 passed, 1 failed\n');
});
