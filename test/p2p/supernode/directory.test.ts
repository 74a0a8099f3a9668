import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { Directory } from '../../../src/p2p/supernode/directory.ts';

t.test('all peers’ parts together are bounded', async (t) => {
  const directory = new Directory(3);
  const [a, b] = [directory.peerOrNew('a')!, directory.peerOrNew('b')!];
  const first = directory.memberOrNew(a, digestOf('1'))!;
  t.ok(directory.memberOrNew(a, digestOf('2')));
  t.ok(directory.memberOrNew(b, digestOf('1')));
  t.equal(directory.memberOrNew(b, digestOf('2')), undefined);
  t.equal(directory.memberOrNew(b, digestOf('3')), undefined);
  t.notOk(directory.blobs.has(digestOf('3')));
  t.equal(directory.memberOrNew(a, digestOf('1')), first, 'what is there is there');
  directory.remove(first);
  t.ok(directory.memberOrNew(b, digestOf('2')));
});
