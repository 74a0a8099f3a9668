import t from 'tap';
import { refusalOf, SessionHello } from '../../../src/p2p/peer/session-hello.ts';
import { Membership } from '../../../src/p2p/protocol/membership.ts';
import { encode, parseFromProxy } from '../../../src/p2p/protocol/messages.ts';
import { PROTOCOL_VERSION } from '../../../src/p2p/protocol/version.ts';
import { SECRET } from '../../support/swarm-rig.ts';

const OTHER_SECRET = 'another-secret-of-thirty-two-characters';
const challenge = { epoch: 'epoch-01', nonce: 'n'.repeat(22) };
const self = {
  peer: 'peer-a-00',
  instance: 'instance-1',
  version: '1.2.3',
  host: 'a',
  addresses: ['10.0.0.1:65002'],
  zone: 'z',
};

function helloOf(membership: Membership, { isVisit = false, uploadSlots = undefined as number | undefined } = {}) {
  return new SessionHello({ challenge, self: { ...self, uploadSlots }, membership, time: 5, isVisit });
}

/** What both sides prove to know, as a supernode sees it. */
function factsOf(hello: SessionHello) {
  const { nonce, peer, instance, addresses } = hello.message();
  return { supernodeNonce: challenge.nonce, peerNonce: nonce, epoch: challenge.epoch, peer, instance, addresses };
}

t.test('says who this proxy is, and proves that it is a member', (t) => {
  const membership = new Membership(SECRET);
  const hello = helloOf(membership);
  const { nonce, proof, ...said } = hello.message();
  t.same(said, { t: 'hello', protocol: PROTOCOL_VERSION, ...self, time: 5 });
  t.same(parseFromProxy(encode(hello.message())), hello.message());
  t.ok(new Membership(SECRET).proverOf(proof, 'peer', factsOf(hello)));
  t.notOk(new Membership(OTHER_SECRET).proverOf(proof, 'peer', factsOf(hello)));
  t.not(helloOf(membership).message().nonce, nonce, 'each with a nonce of its own');
  t.match(helloOf(membership, { isVisit: true, uploadSlots: 3 }).message(), { visit: true, uploadSlots: 3 });
  t.end();
});

t.test('while the secret is being replaced, it proves that it knows either', (t) => {
  const hello = helloOf(new Membership(SECRET, { secret: OTHER_SECRET, role: 'next' }));
  const { proof, secondProof } = hello.message();
  t.ok(new Membership(SECRET).proverOf(proof, 'peer', factsOf(hello)));
  t.ok(new Membership(OTHER_SECRET).proverOf(secondProof, 'peer', factsOf(hello)));
  t.end();
});

t.test('the supernode is to prove itself by this registration, with a secret that counts', (t) => {
  const membership = new Membership(SECRET);
  const hello = helloOf(membership);
  const proof = new Membership(SECRET).sessionProof('supernode', factsOf(hello));
  t.equal(hello.proverOf(proof), membership.first);
  t.equal(helloOf(membership).proverOf(proof), undefined, 'an answer to another registration');
  t.equal(hello.proverOf(hello.message().proof), undefined, "this proxy's own proof sent back");
  const stranger = new Membership(OTHER_SECRET).sessionProof('supernode', factsOf(hello));
  t.equal(hello.proverOf(stranger), undefined);
  t.end();
});

t.test('when there is no use in it', (t) => {
  const open = new Membership(undefined);
  const closed = new Membership(SECRET);
  const protocol = PROTOCOL_VERSION;
  t.match(refusalOf({ protocol: '7.0', membership: false }, open), { code: 'PROTOCOL_VERSION' });
  t.match(refusalOf({ protocol, membership: true }, open), { code: 'NOT_A_MEMBER' });
  t.equal(refusalOf({ protocol, membership: true }, closed), undefined);
  t.equal(refusalOf({ protocol, membership: false }, open), undefined);
  t.equal(refusalOf({ protocol, membership: false }, closed), undefined, 'the supernode may be open');
  t.end();
});
