import t from 'tap';
import { peerNames, shortDigest, shortIds } from '../../src/cli/names.ts';

t.test('ids are shortened as far as they can be told apart', (t) => {
  t.same([...shortIds(['aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'aaaaaaaaaaaa']).values()], ['aaaaaaaa', 'bbbbbbbb']);
  t.same([...shortIds(['aaaaaaaaaa11', 'aaaaaaaaaa22']).values()], ['aaaaaaaaaa1', 'aaaaaaaaaa2']);
  t.same([...shortIds(['a', 'ab', '']).values()], ['a', 'ab', '']);
  t.end();
});

t.test('peers are called by their hosts where that is one peer each', (t) => {
  const on = (host: string, id: string) => ({ id, host });
  t.same([...peerNames([on('n1', 'x1'), on('n2', 'x2')]).values()], ['n1', 'n2']);
  t.same([...peerNames([on('n1', 'x1'), on('n1', 'x2')]).values()], ['x1', 'x2']);
  t.same([...peerNames([on('', 'x1')]).values()], ['x1']);
  t.equal(shortDigest(`sha256:${'a'.repeat(64)}`), 'sha256:aaaaaaaaaaaa');
  t.end();
});
