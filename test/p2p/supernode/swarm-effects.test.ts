import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { MAX_BATCH } from '../../../src/p2p/protocol/limits.ts';
import type { Decision } from '../../../src/p2p/supernode/events.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { SwarmEffects } from '../../../src/p2p/supernode/swarm-effects.ts';
import { EPOCH, registration, SessionRig } from './session-rig.ts';

const digest = digestOf('a blob');

function rig() {
  const sessions = new SessionRig();
  const roster = new Roster({ heartbeatMs: 1000, random: Math.random });
  for (const [n, peer] of ['peer-a-00', 'peer-b-00'].entries()) {
    roster.apply({ kind: 'register', connection: n, from: 'x', registration: registration(peer) }, 0);
  }
  const did: string[] = [];
  const effects = new SwarmEffects({
    sessions: sessions.sessions,
    roster,
    news: {
      rejectedEvent: (code) => void did.push(`news: ${code}`),
      readsWrongBytes: ({ peer }, host) => void did.push(`news: ${peer} on ${host}`),
    },
    tell: sessions.tell,
    refuse: sessions.refuse,
    flushSoon: () => void did.push('flush soon'),
  });
  const { session, far } = sessions.open('peer-a-00');
  const wish = (w: number, of = digest) =>
    session.message(JSON.stringify({ t: 'want', epoch: EPOCH, w, digest: of, size: 1, held: '', awaited: [] }));
  const decide = (...decisions: Decision[]) => {
    effects.carryOut(decisions);
    return did.splice(0);
  };
  const flush = async () => {
    sessions.sessions.flush();
    return far.take();
  };
  return { decide, flush, wish, session, far, roster, rig: sessions };
}

t.test('assignments wait in the session for the end of the turn, as one message', async (t) => {
  const { decide, flush, wish, roster, far } = rig();
  wish(7);
  const lease: Decision = { kind: 'lease', peer: 'peer-a-00', digest, lease: 3, run: { first: 0, count: 4 } };
  const fetch: Decision = { kind: 'fetch', peer: 'peer-a-00', digest, piece: 5, from: 'peer-b-00', crc32: 99 };
  t.same(decide(lease, fetch), ['flush soon', 'flush soon']);
  t.same(await far.take(), []);
  const { number } = roster.find('peer-b-00')!;
  t.same(await flush(), [
    {
      t: 'a',
      l: [[7, 3, 0, 4]],
      p: [[number, 'peer-b-00', 'peer-b-00-1', ['peer-b-00:65002']]],
      f: [[7, 5, number, 99]],
    },
  ]);
  const reading: Decision = {
    kind: 'second-reading',
    peer: 'peer-a-00',
    digest,
    piece: 1,
    by: 'peer-b-00',
    sha256: 's',
  };
  decide(reading);
  t.same(await flush(), [{ t: 'a', h: [[7, 1, number, 's']] }], 'it is introduced once');
});

t.test('as many as fit into a message go out at once', async (t) => {
  const { decide, flush, wish, far } = rig();
  wish(1);
  const wait: Decision = { kind: 'wait', peer: 'peer-a-00', digest };
  decide(...Array.from({ length: MAX_BATCH }, () => wait));
  const [full] = await far.take();
  t.equal((full as unknown as { w: number[] }).w.length, MAX_BATCH);
  decide(wait);
  t.match(await flush(), [{ t: 'a', w: [1] }]);
});

t.test('for who is not here, or does not wish for the blob any more, nothing is sent', async (t) => {
  const { decide, flush, wish, session } = rig();
  const wait: Decision = { kind: 'wait', peer: 'peer-a-00', digest };
  t.same(decide(wait), []);
  wish(1);
  session.message(JSON.stringify({ t: 'leave', w: 1 }));
  t.same(decide(wait, { ...wait, peer: 'peer-none' }), []);
  t.same(await flush(), []);
});

t.test('what is not believed is counted; a piece that does not exist ends the session', async (t) => {
  const { decide, rig: sessions } = rig();
  t.same(decide({ kind: 'reject', peer: 'peer-a-00', code: 'SIZE_CONFLICT' }), ['news: SIZE_CONFLICT']);
  t.same(sessions.refused, [], 'it may be honest');
  decide({ kind: 'reject', peer: 'peer-a-00', code: 'NO_SUCH_PIECE' });
  t.match(sessions.refused, [/^1 IMPOSSIBLE/]);
  t.same(decide({ kind: 'reject', peer: 'peer-none', code: 'NO_SUCH_PIECE' }), ['news: NO_SUCH_PIECE']);
  t.equal(sessions.refused.length, 1);
});

t.test('trouble with a peer is for the roster, wrong bytes are for the operator', async (t) => {
  const { decide, rig: sessions } = rig();
  const blamed = { kind: 'blamed', digest, piece: 0, right: 'peer-a-00' } as const;
  t.same(
    decide({ kind: 'trouble', peer: 'peer-b-00' }, { ...blamed, peer: 'peer-b-00' }, { ...blamed, peer: 'peer-gone' }),
    ['news: peer-b-00 on host-of-peer-b-00', 'news: peer-gone on undefined'],
  );
  t.same(sessions.rosterEvents, [{ kind: 'trouble', peer: 'peer-b-00' }]);
});
