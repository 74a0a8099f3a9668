import t from 'tap';
import { defaultSettings } from '../../src/config/defaults.ts';
import { NODE_CHECKS } from '../../src/doctor/node-checks.ts';
import { nodeRig, onlyUpstreams } from './node-rig.ts';

t.test('each check finds what the list says, on a node where next to nothing is', async (t) => {
  const rig = await nodeRig(t);
  const upstreams = onlyUpstreams(Object.keys(defaultSettings().upstreams), {
    'a.test': { url: 'http://127.0.0.1:1' },
  });
  const proxy = { listen: '127.0.0.1:0', defaultUpstream: 'a.test' };
  const around = await rig.around({
    upstreams,
    proxy,
    store: { dir: rig.root, containerd: '/not/there' },
    api: { listen: '127.0.0.1:2' },
  });
  for (const { finds, check } of NODE_CHECKS) {
    const codes = new Set(finds.map(({ code }) => code));
    const found = await check(around);
    t.ok(found.length > 0 && found.every(({ code }) => codes.has(code)), [...codes].join(', '));
    for (const { status, title, seen, meaning, todo } of found) {
      t.not(title && seen, '', 'what was looked at, and what was seen');
      t.equal(
        meaning !== '' && todo !== '',
        status === 'failed',
        `${title}: what it means and what to do, where it failed`,
      );
    }
  }
});
