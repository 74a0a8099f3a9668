import t from 'tap';
import { compatibility } from '../../../src/p2p/protocol/compatibility.ts';

t.test('same major works, a different minor with a warning that names the side behind', async (t) => {
  t.same(compatibility({ proxy: '1.4', supernode: '1.4' }), { works: true, warning: undefined });
  t.match(compatibility({ proxy: '1.3', supernode: '1.4' }), { works: true, warning: /upgrade the proxy soon/ });
  t.match(compatibility({ proxy: '1.12', supernode: '1.4' }), { works: true, warning: /upgrade the supernode soon/ });
});

t.test('another major does not, and the side to upgrade is said', async (t) => {
  t.match(compatibility({ proxy: '1.9', supernode: '2.0' }), {
    works: false,
    upgrade: 'proxy',
    message: /upgrade the proxy$/,
  });
  t.match(compatibility({ proxy: '10.0', supernode: '9.0' }), { works: false, upgrade: 'supernode' });
});

t.test('what is no version is not guessed at', async (t) => {
  for (const bad of ['', '1', 'v1.0', '1.0.0', '1.-1', '1.9999999']) {
    t.match(compatibility({ proxy: bad, supernode: '1.0' }), {
      works: false,
      upgrade: undefined,
      message: /the proxy names/,
    });
    t.match(compatibility({ proxy: '1.0', supernode: bad }), { works: false, message: /the supernode names/ });
  }
});
