import * as fc from 'fast-check';
import t from 'tap';
import { TapDigest } from '../../scripts/support/run-tap.ts';
import { checked } from '../support/checked.ts';

const FAILED_FILE = `TAP version 14
1..2
# Subtest: a.test.js
    # Subtest: reads
        ok 1 - should be equal
        not ok 2 - should be equal
          ---
          diff: |
            +1
          ...
        1..2
    not ok 1 - reads # time=48.2ms
not ok 1 - a.test.js # time=91.8ms
# Subtest: b.test.js
    ok 1 - should be equal
    ok 2 - later # SKIP because
    1..2
ok 2 - b.test.js # time=18.2ms
# { total: 4, pass: 2, fail: 1, skip: 1 }
# time=863.5ms
`;

function digest(text: string, depth: number) {
  const printed: string[] = [];
  const reader = new TapDigest(depth, (line) => printed.push(line));
  for (const line of text.split('\n')) reader.line(line);
  return { printed, reader };
}

t.test('a file that failed is shown whole, another by its name', async (t) => {
  const { printed, reader } = digest(FAILED_FILE, 0);
  t.ok(printed.includes('        not ok 2 - should be equal'));
  t.ok(printed.includes('            +1'));
  t.equal(printed.at(-1), 'ok b.test.js (18.2ms)');
  t.notOk(printed.includes('    ok 1 - should be equal'));
  t.same(reader.tally(1), { passed: 2, failed: 1, skipped: 1 });
  t.same(reader.failedFiles, ['a.test.js'], 'and named');
});

t.test('with a depth, the tests in the files are shown too', async (t) => {
  const { printed } = digest(FAILED_FILE, 1);
  t.ok(printed.includes('    not ok reads (48.2ms)'));
  t.ok(printed.includes('    ok later # SKIP because'));
});

t.test('a run that broke has a failure, whatever it counted', async (t) => {
  t.same(digest('', 0).reader.tally(7), { passed: 0, failed: 1, skipped: 0 });
  t.same(digest('# { total: 3, pass: 3 }', 0).reader.tally(1), { passed: 3, failed: 1, skipped: 0 });
  t.same(digest('# { total: 3, pass: 3 }', 0).reader.tally(0), { passed: 3, failed: 0, skipped: 0 });
});

t.test("tap's own line is read back as it was written", async (t) => {
  checked(
    t,
    100,
    fc.property(fc.nat(), fc.nat(), fc.nat(), (pass, fail, skip) => {
      const parts = Object.entries({ total: pass + fail + skip, pass, fail, skip })
        .filter(([key, count]) => key === 'total' || count > 0)
        .map(([key, count]) => `${key}: ${count}`);
      const tally = digest(`# { ${parts.join(', ')} }`, 0).reader.tally(0);
      return tally.passed === pass && tally.failed === fail && tally.skipped === skip;
    }),
  );
});
