import fc from 'fast-check';
import t from 'tap';
import { Membership, TOKEN_VALID_MS } from '../../../src/p2p/protocol/membership.ts';
import type { Secrets } from '../../../src/p2p/protocol/secret-file.ts';

const SECRET = 'correct horse battery staple, and then some';
const ours = new Membership(SECRET);
const theirs = new Membership('another secret that is long enough for it');
const facts = {
  supernodeNonce: 'n1',
  peerNonce: 'n2',
  epoch: 'e',
  peer: 'p',
  instance: 'i',
  addresses: ['a:1', 'b:2'],
};

t.test('a session proof is good for its side, its facts and its cluster', async (t) => {
  const proof = ours.sessionProof('peer', facts);
  t.ok(ours.proverOf(proof, 'peer', facts));
  t.notOk(ours.proverOf(proof, 'supernode', facts), 'it cannot be sent back');
  t.notOk(theirs.proverOf(proof, 'peer', facts));
  t.notOk(new Membership(undefined).proverOf(proof, 'peer', facts));
  for (const [name, value] of Object.entries(facts)) {
    const changed = { ...facts, [name]: Array.isArray(value) ? ['a:1,4:b:2'] : `${value}x` };
    t.notOk(ours.proverOf(proof, 'peer', changed), name);
  }
  for (const bad of [undefined, '', 'short', 'é'.repeat(43), proof.slice(1), `${proof}x`]) {
    t.notOk(ours.proverOf(bad, 'peer', facts), String(bad));
  }
  t.ok(new Membership(undefined).isOpen);
  t.notOk(ours.isOpen);
});

t.test('a whoami proof names peer, instance and nonce, and is no session proof', async (t) => {
  const who = { nonce: 'n', peer: 'p', instance: 'i' };
  const proof = ours.whoamiProof(who);
  t.ok(ours.isWhoamiProof(proof, who));
  t.notOk(ours.isWhoamiProof(proof, { ...who, instance: 'j' }));
  t.notOk(ours.isWhoamiProof(proof, { ...who, nonce: 'm' }));
  t.notOk(theirs.isWhoamiProof(proof, who));
  t.notOk(ours.isWhoamiProof(undefined, who));
});

t.test('the proof of a reading is over all that is said, and to one question', async (t) => {
  const facts = {
    nonce: 'n',
    peer: 'p',
    instance: 'i',
    registry: 'docker.io',
    repository: 'library/alpine',
    digest: 'sha256:0',
    said: '[1,2,null]',
  };
  const proof = ours.readingProof(facts);
  t.ok(ours.isReadingProof(proof, facts));
  for (const name of Object.keys(facts)) t.notOk(ours.isReadingProof(proof, { ...facts, [name]: 'x' }), name);
  t.notOk(theirs.isReadingProof(proof, facts));
  t.notOk(ours.isReadingProof(undefined, facts));
});

t.test('a piece token opens one instance of one sender, for a while', async (t) => {
  const now = Date.UTC(2026, 5, 1);
  const parties = { sender: 'peer-sender', receiver: 'peer-receiver', instance: 'instance-1' };
  const token = ours.pieceToken(parties, now);
  const self = { sender: 'peer-sender', instance: 'instance-1' };
  t.match(token, /^[\w.-]{1,512}$/);
  t.same(ours.checkPieceToken(token, self, now), { receiver: 'peer-receiver', keys: ours.first });
  t.ok(ours.checkPieceToken(token, self, now + TOKEN_VALID_MS));
  t.ok(ours.checkPieceToken(token, self, now - TOKEN_VALID_MS));
  t.equal(ours.checkPieceToken(token, self, now + TOKEN_VALID_MS + 1), undefined, 'too old');
  t.equal(ours.checkPieceToken(token, self, now - TOKEN_VALID_MS - 1), undefined, 'from the future');
  t.equal(ours.checkPieceToken(token, { ...self, instance: 'instance-2' }, now), undefined);
  t.equal(ours.checkPieceToken(token, { ...self, sender: 'peer-other' }, now), undefined);
  t.equal(theirs.checkPieceToken(token, self, now), undefined);
  t.equal(
    ours.checkPieceToken(token.replace('peer-receiver', 'peer-somebody'), self, now),
    undefined,
    'forged receiver',
  );
  fc.assert(
    fc.property(fc.nat(token.length - 1), fc.constantFrom('a', 'B', '.', '0', '', '~'), (at, char) => {
      const forged = token.slice(0, at) + char + token.slice(at + 1);
      if (forged !== token && ours.checkPieceToken(forged, self, now)) throw new Error(forged);
    }),
  );
  fc.assert(fc.property(fc.string(), (text) => ours.checkPieceToken(text, self, now) === undefined));
});

const OLD = 'the old secret, which is long enough for it';
const NEW = 'the new secret, which is long enough for it';
/** What a node's file holds after each step, with or without labels. */
const STEPS = [
  { first: OLD },
  { first: OLD, second: { secret: NEW, role: 'next' } },
  { first: NEW, second: { secret: OLD, role: 'previous' } },
  { first: NEW },
] as const satisfies readonly Secrets[];

/** Everything that `asker` can prove to `asked`. */
function proofsHold(asker: Membership, asked: Membership, nonce: string): boolean {
  const about = { ...facts, peerNonce: nonce };
  const who = { nonce, peer: 'p', instance: 'i' };
  const reading = { ...who, registry: 'docker.io', repository: 'library/alpine', digest: 'sha256:0', said: '[]' };
  const parties = { sender: 'peer-a', receiver: 'peer-b', instance: 'i' };
  const now = Date.UTC(2026, 5, 1);
  return (
    asked.proverOf(asker.sessionProof('peer', about), 'peer', about) !== undefined &&
    asked.isWhoamiProof(asker.whoamiProof(who), who) &&
    asked.isReadingProof(asker.readingProof(reading), reading) &&
    asked.checkPieceToken(asker.pieceToken(parties, now), parties, now)?.receiver === 'peer-b' &&
    asked.readerTokens.includes(asker.readerTokens[0]!)
  );
}

t.test(
  'any two nodes that are one step of a rotation apart are members to each other, whenever each takes its steps',
  async (t) => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 3 })), fc.uuid(), (order, nonce) => {
        const nodes = Array.from({ length: 4 }, () => ({ step: 0, membership: new Membership(OLD) }));
        for (const index of order) {
          const node = nodes[index]!;
          // Nobody goes on while another is a step behind: that is what an operator waits for.
          if (node.step === 3 || nodes.some(({ step }) => step < node.step)) continue;
          node.step += 1;
          const secrets: Secrets = STEPS[node.step]!;
          node.membership.change(secrets);
          for (const a of nodes)
            for (const b of nodes) if (!proofsHold(a.membership, b.membership, nonce)) return false;
        }
        return true;
      }),
    );
    const [start, , , end] = STEPS.map((secrets: Secrets) => new Membership(secrets.first, secrets.second));
    t.notOk(proofsHold(start!, end!, 'n'), 'who has the old secret only is out at the end');
    t.notOk(proofsHold(end!, start!, 'n'));
  },
);

t.test('a change is whole, says so to who listens, and keeps the keys of secrets that stay', async (t) => {
  const membership = new Membership(OLD);
  const old = membership.first;
  let changes = 0;
  membership.onChange(() => (changes += 1));
  t.notOk(membership.change({ first: OLD }), 'nothing new');
  t.ok(membership.change(STEPS[1]));
  t.equal(membership.first, old);
  t.equal(membership.second?.role, 'next');
  const fresh = membership.second!.keys;
  t.ok(membership.change({ ...STEPS[1], second: { secret: NEW, role: 'second' } }), 'the label is a part of it');
  t.ok(membership.change(STEPS[2]));
  t.same([membership.first === fresh, membership.second?.keys === old], [true, true]);
  t.ok(membership.accepts(old));
  t.ok(membership.change(STEPS[3]));
  t.same([membership.accepts(old), membership.accepts(fresh)], [false, true]);
  t.equal(changes, 4);
  t.equal(membership.readerTokens.length, 1);
  t.same(new Membership(undefined).readerTokens, []);
});
