import t from 'tap';
import { CLOSE } from '../../../src/p2p/protocol/socket.ts';
import { RosterEffects } from '../../../src/p2p/supernode/roster-effects.ts';
import type { RosterEvent } from '../../../src/p2p/supernode/roster-events.ts';
import { GIVEN_UP_HEARTBEATS, PING_MS, Roster } from '../../../src/p2p/supernode/roster.ts';
import { registration, SessionRig } from './session-rig.ts';

const HEARTBEAT_MS = 1000;

/** A real roster, real sessions; whom its notices reach is noted. */
function rig() {
  const sessions = new SessionRig();
  const roster = new Roster({ heartbeatMs: HEARTBEAT_MS, random: () => 0.5 });
  const did: string[] = [];
  const state = { isThere: true };
  const effects = new RosterEffects({
    sessions: sessions.sessions,
    reception: {
      welcome: (connection, fresh) => {
        did.push(`welcome ${connection}${fresh ? '' : ' again'}`);
        return state.isThere;
      },
    },
    ports: { ofMember: ({ registration: { peer } }) => void did.push(`test ${peer}`) },
    preheats: {
      connected: (peer, instance, now) => void did.push(`preheats: ${peer} (${instance}) is here, ${now}`),
      gone: (peer, reason, now) => void did.push(`preheats: ${peer} is gone: ${reason}, ${now}`),
    },
    news: {
      stateChanged: (member, was) => void did.push(`news: ${was ?? 'new'} → ${member.state}`),
      refused: ({ code }) => void did.push(`news: ${code}`),
    },
    swarm: (event) =>
      void did.push(
        event.kind === 'peer'
          ? `swarm: ${event.peer} ${event.reachable ? 'ready' : 'here'} in ${event.zone}, ${event.uploadSlots}`
          : `swarm: ${event.kind} ${(event as { peer: string }).peer}`,
      ),
  });
  const tell = (event: RosterEvent, now = 0) => {
    effects.carryOut(roster.apply(event, now), now);
    return did.splice(0);
  };
  const tick = (now: number) => {
    effects.carryOut(roster.tick(now), now);
    return did.splice(0);
  };
  const register = (connection: number, instance = 'i1', now = 0) => {
    const about = registration('a', { instance });
    return tell({ kind: 'register', connection, from: 'x', registration: about }, now);
  };
  const tested = (address: string | undefined, now = 0) => {
    const about = registration('a', { instance: 'i1' });
    const result = address === undefined ? { error: 'refused' } : { address };
    return tell({ kind: 'tested', ...about, result }, now);
  };
  return { tell, tick, register, tested, state, rig: sessions };
}

t.test('who comes is welcome, known to the swarm, and tested', async (t) => {
  const { register, tested } = rig();
  t.same(register(1, 'i1', 5), [
    'welcome 1',
    'preheats: a (i1) is here, 5',
    'swarm: a here in z, 4',
    'preheats: a (i1) is here, 5',
    'news: new → unreachable',
    'test a',
  ]);
  t.same(tested('a:65002'), ['swarm: a ready in z, 4', 'news: unreachable → ready'], 'preheats need no word of that');
  t.same(tested(undefined), ['swarm: a here in z, 4', 'news: ready → unreachable']);
});

t.test('a newer session: the swarm hears what it says of itself now, the older one is ended', async (t) => {
  const { register, rig: sessions } = rig();
  const { far } = sessions.open('a');
  register(1);
  t.same(register(2), ['welcome 2 again', 'swarm: a here in z, 4', 'preheats: a (i1) is here, 0']);
  t.match(await far.take(), [{ t: 'error', code: 'REPLACED' }]);
  t.equal(far.closedWith, `${CLOSE.again} REPLACED`);
});

t.test('of a session that is gone already nobody hears', async (t) => {
  const { register, state } = rig();
  register(1);
  state.isThere = false;
  t.same(register(2), ['welcome 2 again']);
});

t.test('who falls silent is gone for the swarm, once; back in the same session it has to register', async (t) => {
  const { register, tested, tick } = rig();
  register(1);
  tested('a:65002');
  const [swarm, preheats, news] = tick(3 * HEARTBEAT_MS + 1);
  t.same([swarm, news], ['swarm: gone a', 'news: ready → stale']);
  t.match(preheats, /^preheats: a is gone: stale: nothing was heard/);
  t.same(tick(GIVEN_UP_HEARTBEATS * HEARTBEAT_MS + 1), ['news: stale → left'], 'swarm and preheats know');
});

t.test('two with one id: the older one is asked; who is refused hears it, and the operator', async (t) => {
  const { register, tell, tick, rig: sessions } = rig();
  const first = sessions.open('a');
  const second = sessions.connect();
  register(1);
  t.same(register(2, 'i2'), []);
  t.match(await first.far.take(), [{ t: 'ping' }]);
  t.same(tell({ kind: 'heard', connection: 1 }), ['news: DUPLICATE_ID']);
  t.match(await second.far.take(), [{ t: 'reject', code: 'DUPLICATE_ID' }]);
  t.equal(second.far.closedWith, `${CLOSE.again} DUPLICATE_ID`);
  register(9, 'i3');
  await first.far.take();
  t.match(tick(PING_MS)[0], 'swarm: gone a', 'one that does not answer makes way');
  t.match(await first.far.take(), [{ t: 'error', code: 'STALE' }]);
});

t.test('notices of sessions that are no more do nothing', async (t) => {
  const { register, tell } = rig();
  register(1);
  t.same(register(2, 'i2'), [], 'its ping reaches nobody');
  t.same(tell({ kind: 'heard', connection: 1 }), ['news: DUPLICATE_ID']);
});
