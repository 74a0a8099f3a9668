import t from 'tap';
import { PreheatNoPeers } from '../../../src/p2p/supernode/preheat-errors.ts';
import { failureOf, isOver, move, shareOf, type ShareState } from '../../../src/p2p/supernode/preheat-share.ts';

t.test('a share keeps the time of its state, and the reason for being away only while it is', async (t) => {
  const share = shareOf({ peer: 'a', instance: 'a-1', host: 'a', zone: '', isReady: true }, 5);
  t.match(share, { state: 'waiting', since: 5, instance: 'a-1', bytes: 0, failure: undefined });
  share.reason = 'it stopped';
  move(share, 'left', 6);
  move(share, 'left', 7);
  t.match(share, { since: 6, reason: 'it stopped' });
  move(share, 'running', 8);
  t.match(share, { since: 8, reason: '' });
  const over = (state: ShareState) => isOver({ ...share, state });
  t.same((['waiting', 'running', 'left'] as const).map(over), [false, false, false]);
  t.same((['done', 'failed', 'cancelled'] as const).map(over), [true, true, true]);
});

t.test('a failure is an error’s code, words and what to do', async (t) => {
  t.match(failureOf(new PreheatNoPeers({ zone: 'z' })), { code: 'PREHEAT_NO_PEERS', message: /z/, todo: /./ });
});
