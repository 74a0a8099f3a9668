import fc from 'fast-check';
import t from 'tap';
import { AccessRules, type RuleSettings } from '../../src/proxy/access-rules.ts';
import type { Asker } from '../../src/proxy/asker.ts';
import type { Upstream } from '../../src/registry/upstream.ts';

const asker = (user: string | undefined, isLocal = false): Asker => ({ address: '', isLocal, user });
const scope = (name: string) => {
  const [host = '', ...rest] = name.split('/');
  return { upstream: { host } as Upstream, repository: rest.join('/') };
};
const TEAM = scope('r.example:5000/team/app');
const OTHER = scope('r.example:5000/other/app');

t.test('who may read what', async (t) => {
  const rules = new AccessRules([
    { users: ['alice', 'ci-*'], repositories: ['r.example:5000/team/*'] },
    { users: ['alice'], repositories: ['docker.io/**'] },
  ]);
  t.ok(rules.allow(asker('alice'), TEAM));
  t.ok(rules.allow(asker('alice'), scope('docker.io/library/nginx')), 'any rule that names her');
  t.ok(rules.allow(asker('ci-7'), TEAM));
  t.notOk(rules.allow(asker('ci-7'), scope('docker.io/library/nginx')));
  t.notOk(rules.allow(asker('alice'), OTHER));
  t.notOk(rules.allow(asker('alice'), scope('other.example/team/app')), 'the registry counts');
  for (const user of ['bob', 'alice2', 'Alice', undefined]) t.notOk(rules.allow(asker(user), TEAM), String(user));
  for (const user of ['bob', undefined]) t.ok(rules.allow(asker(user, true), OTHER), 'on this machine: everything');
});

t.test('a rule that names loopback says what clients on this machine may read', async (t) => {
  const rules = new AccessRules([
    { users: ['loopback', 'alice'], repositories: ['r.example:5000/team/*'] },
    { users: ['alice', '*'], repositories: ['r.example:5000/other/*'] },
  ]);
  t.ok(rules.allow(asker(undefined, true), TEAM));
  t.notOk(rules.allow(asker(undefined, true), OTHER), 'a star is for users');
  t.ok(rules.allow(asker('alice', true), OTHER), 'who has logged in may more');
  t.ok(rules.allow(asker('bob', true), TEAM), 'and no less');
  t.notOk(rules.allow(asker(undefined), TEAM), 'on another machine it is nobody');
  rules.replace([{ users: ['loopback'], repositories: [] }]);
  t.notOk(rules.allow(asker(undefined, true), TEAM), 'nothing at all');
  rules.replace([]);
  t.ok(rules.allow(asker(undefined, true), TEAM), 'as if there had never been one');
});

t.test('property: who is named by no rule reads nothing, and one more rule takes nothing away', async () => {
  const user = fc.constantFrom('alice', 'bob', 'ci-1');
  const name = fc.constantFrom('r/a', 'r/b', 'r/a/b', 'docker.io/library/a');
  const rule: fc.Arbitrary<RuleSettings> = fc.record({
    users: fc.array(fc.constantFrom('alice', 'ci-*', '*', 'loopback'), { maxLength: 3 }),
    repositories: fc.array(fc.constantFrom('r/*', 'r/**', '**', 'docker.io/library/*', 'r/a'), { maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 5 }), rule, user, name, (some, one, who, what) => {
      const before = new AccessRules(some).allow(asker(who), scope(what));
      const named = some.some(({ users }) =>
        users.some((u) => u === '*' || u === who || (u === 'ci-*' && who === 'ci-1')),
      );
      const after = new AccessRules([...some, one]).allow(asker(who), scope(what));
      return (named || !before) && (!before || after) && !new AccessRules(some).allow(asker(undefined), scope(what));
    }),
  );
});
