import t from 'tap';
import { createLogger } from '../../../src/base/log.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { examineHello, secondClaimIn } from '../../../src/p2p/supernode/admission.ts';
import { Roster } from '../../../src/p2p/supernode/roster.ts';
import { Rotation } from '../../../src/p2p/supernode/rotation.ts';
import { EPOCH, helloOf, registration, SessionRig } from './session-rig.ts';

const OLD = 'the secret of old, of thirty-two characters or more';
const NEW = 'the secret to come, of thirty-two characters or more';

function rig(membership: Membership) {
  const sessions = new SessionRig();
  const roster = new Roster({ heartbeatMs: 1000, random: Math.random });
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const rotation = new Rotation({ membership, log, roster, sessions: sessions.sessions, refuse: sessions.refuse });
  /** A session of a proxy with these secrets. */
  const enter = (peer: string, member: Membership) => {
    const { session } = sessions.open(peer);
    roster.apply({ kind: 'register', connection: session.id, from: 'x', registration: registration(peer) }, 0);
    const hello = helloOf(session.nonce, { peer }, member);
    const found = examineHello(hello, { membership, epoch: EPOCH, nonce: session.nonce });
    if ('code' in found) throw new Error(found.message);
    session.provedBy = found;
    session.secondClaim = secondClaimIn(hello, EPOCH, session.nonce);
    return session;
  };
  return { rotation, enter, rig: sessions, take: () => lines.splice(0) };
}

t.test('a secret that does not count any more: who has proved itself with it is out, the others are not', async (t) => {
  const membership = new Membership(NEW, { secret: OLD, role: 'previous' });
  const { rotation, enter, rig: sessions } = rig(membership);
  const old = enter('peer-old', new Membership(OLD));
  const both = enter('peer-both', new Membership(NEW, { secret: OLD, role: 'previous' }));
  t.same(rotation.secretsOf(old), ['previous']);
  t.same(rotation.secretsOf(both), ['current', 'previous']);
  t.match(rotation.view(), { second: 'previous', ready: 1, waiting: 1, waitingFor: ['host-of-peer-old'] });
  rotation.changed(0);
  t.same(sessions.refused, [], 'nothing is new');
  membership.change({ first: NEW, second: undefined });
  rotation.changed(0);
  t.match(sessions.refused, [new RegExp(`^${old.id} SECRET_RETIRED`)]);
  t.same(rotation.secretsOf(both), ['current'], 'its second one is known here no more');
  t.equal(rotation.view(), undefined);
});

t.test('a second secret that becomes known here is counted for who has claimed it before', async (t) => {
  const membership = new Membership(OLD);
  const { rotation, enter, take } = rig(membership);
  const session = enter('peer-early', new Membership(OLD, { secret: NEW, role: 'next' }));
  t.same(rotation.secretsOf(session), ['current']);
  membership.change({ first: OLD, second: { secret: NEW, role: 'next' } });
  rotation.changed(0);
  t.same(rotation.secretsOf(session), ['current', 'next']);
  t.match(take(), [/^every proxy here accepts the next join secret/]);
});

t.test('who is missing is said when that changes, not too often, and at once when nobody is', async (t) => {
  const membership = new Membership(OLD, { secret: NEW, role: 'next' });
  const { rotation, enter, take, rig: sessions } = rig(membership);
  const first = enter('peer-one', new Membership(OLD));
  rotation.look(0);
  t.match(take(), [/^1 of 1 /]);
  const second = enter('peer-two', new Membership(OLD));
  rotation.look(5000);
  t.same(take(), [], 'that would be too often');
  rotation.look(60_000);
  t.match(take(), [/^2 of 2 /]);
  for (const session of [first, second]) sessions.sessions.drop(session);
  rotation.look(61_000);
  t.match(take(), [/\(0 sessions\)$/]);
});

t.test('an open cluster has no secrets', async (t) => {
  const { rotation, rig: sessions } = rig(new Membership(undefined));
  t.same(rotation.secretsOf(sessions.open('a').session), []);
  t.equal(rotation.view(), undefined);
  rotation.changed(0);
  t.same(sessions.refused, []);
});
