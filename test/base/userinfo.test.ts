import t from 'tap';
import { withoutUserinfo } from '../../src/base/userinfo.ts';

t.test('a password before a host is not shown', async (t) => {
  for (const [text, shown] of [
    ['the mirror http://ann:hunter2@mirror.test:5000/v2/ is used', 'the mirror http://…@mirror.test:5000/v2/ is used'],
    ['https://token@h', 'https://…@h'],
    ['/v2/ann:hunter2@ghcr.io/app/manifests/v1', '/v2/…@ghcr.io/app/manifests/v1'],
    ['ns=ann:hunter2@ghcr.io', 'ns=…@ghcr.io'],
  ] as const)
    t.equal(withoutUserinfo(text), shown);
  const digest = `sha256:${'ab'.repeat(32)}`;
  for (const text of ['http://mirror.test:5000/v2/', `ghcr.io/org/app:v1@${digest}`, `h:5000/app@${digest}`, 'a@b', ''])
    t.equal(withoutUserinfo(text), text, 'as it is');
});
