import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { compiledTests, removeOrphans } from '../../scripts/support/test-files.ts';

t.test('a test is found by its source, by its folder, and compiled', async (t) => {
  const root = t.testdir({
    '.build': { test: { store: { 'a.test.js': '', 'b.test.js': '', 'b.test.js.map': '', 'fixture.js': '' } } },
  });
  const [a, b] = ['a', 'b'].map((name) => join(root, `.build/test/store/${name}.test.js`));
  t.same(compiledTests(root, 'test/store/a.test.ts'), [a]);
  t.same(compiledTests(root, './test/store/a.test.ts'), [a]);
  t.same(compiledTests(root, '.build/test/store/a.test.js'), [a]);
  t.same(compiledTests(root, 'test/store'), [a, b]);
  t.throws(() => compiledTests(root, 'test/store/c.test.ts'), /no such test/);
});

t.test('a compiled test without its source goes', async (t) => {
  const root = t.testdir({
    test: { 'kept.test.ts': '' },
    '.build': { test: { 'kept.test.js': '', 'gone.test.js': '', old: { 'gone.test.js': '' } } },
  });
  removeOrphans(root);
  t.same(
    ['kept.test.js', 'gone.test.js', 'old/gone.test.js'].filter((name) => existsSync(join(root, '.build/test', name))),
    ['kept.test.js'],
  );
});
