import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { judgeCoverage, leastCovered } from '../../scripts/support/coverage-gate.ts';

function project(t: Test, covered: Record<string, [total: number, covered: number]>): string {
  const dir = t.testdir({
    src: { 'a.ts': '', 'types.ts': '', store: { 'b.ts': '' } },
    '.build': {
      src: {
        'a.js': 'export const a = 1;\n//# sourceMappingURL=a.js.map',
        'types.js': 'export {};\n//# sourceMappingURL=types.js.map',
        store: { 'b.js': '/** Why. */\nexport const b = 1;\n//# sourceMappingURL=b.js.map' },
      },
    },
    '.tap': { report: {} },
  });
  const entries = Object.entries(covered).map(([file, [total, run]]) => {
    return [join(dir, file), { lines: { total, covered: run } }] as const;
  });
  writeFileSync(join(dir, '.tap/report/coverage-summary.json'), JSON.stringify(Object.fromEntries(entries)));
  return dir;
}

t.test('open: enough lines are run, and a file of types only may be absent', async (t) => {
  const root = project(t, { 'src/a.ts': [80, 80], 'src/store/b.ts': [20, 15], 'test/support/x.ts': [1000, 0] });
  t.same(judgeCoverage(root), { percent: 95, failures: [] });
  t.same(leastCovered(root, 5), ['src/store/b.ts: 5 of 20 lines not run']);
});

t.test('shut: too few lines', async (t) => {
  const { failures } = judgeCoverage(project(t, { 'src/a.ts': [80, 80], 'src/store/b.ts': [20, 14] }));
  t.match(failures, [/94\.00 % of the lines/]);
  t.equal(failures.length, 1);
});

t.test('shut: a file with code that no test loads', async (t) => {
  t.same(judgeCoverage(project(t, { 'src/a.ts': [80, 80] })).failures, ['no test loads src/store/b.ts']);
});

t.test('shut: no summary at all', async (t) => {
  const root = project(t, {});
  rmSync(join(root, '.tap'), { recursive: true });
  t.equal(judgeCoverage(root).percent, 0);
  t.ok(judgeCoverage(root).failures.length > 0);
});
