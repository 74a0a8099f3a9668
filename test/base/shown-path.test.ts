import t from 'tap';
import { shownPath } from '../../src/base/shown-path.ts';

t.test('what looks like a secret in the place of a file is not shown', async (t) => {
  for (const name of ['q3fZ8kT0vB1mXyE2', 'correct1horse', 'p@ss word', 'hunter2!'])
    t.equal(shownPath(`/etc/hawker/${name}`), '/etc/hawker/…', name);
  for (const path of ['/etc/hawker/join-secret', '/run/secrets/hawker2.txt', '/etc/hawker/operator-token', 'nope', ''])
    t.equal(shownPath(path), path);
});
