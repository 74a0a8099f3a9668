import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { Membership, readSecretFile, TOKEN_VALID_MS } from '../../../src/p2p/protocol/membership.ts';

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
  t.ok(ours.isSessionProof(proof, 'peer', facts));
  t.notOk(ours.isSessionProof(proof, 'supernode', facts), 'it cannot be sent back');
  t.notOk(theirs.isSessionProof(proof, 'peer', facts));
  t.notOk(new Membership(undefined).isSessionProof(proof, 'peer', facts));
  for (const [name, value] of Object.entries(facts)) {
    const changed = { ...facts, [name]: Array.isArray(value) ? ['a:1,4:b:2'] : `${value}x` };
    t.notOk(ours.isSessionProof(proof, 'peer', changed), name);
  }
  for (const bad of [undefined, '', 'short', 'é'.repeat(43), proof.slice(1), `${proof}x`]) {
    t.notOk(ours.isSessionProof(bad, 'peer', facts), String(bad));
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
  t.same(ours.checkPieceToken(token, self, now), { receiver: 'peer-receiver' });
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

t.test('a secret file: one line of 32 characters or more that nobody else can read', async (t) => {
  const dir = t.testdir({ good: `${SECRET}\n`, short: 'too short\n', two: `${SECRET}\n${SECRET}\n`, dir: {} });
  const path = (name: string) => join(dir, name);
  for (const name of ['good', 'short', 'two']) await chmod(path(name), 0o600);
  t.equal(await readSecretFile(path('good')), SECRET);
  await t.rejects(readSecretFile(path('short')), { code: 'SECRET_UNUSABLE', message: /less than 32/ });
  await t.rejects(readSecretFile(path('two')), { message: /more than one line/ });
  await t.rejects(readSecretFile(path('none')), { code: 'SECRET_UNUSABLE', message: /ENOENT/ });
  await t.rejects(readSecretFile(path('dir')), { code: 'SECRET_UNUSABLE' });
  await writeFile(path('long'), 'x'.repeat(5000), { mode: 0o600 });
  await t.rejects(readSecretFile(path('long')), { message: /more than 1024/ });
  await chmod(path('good'), 0o640);
  const error = await readSecretFile(path('good')).catch((error: unknown) => error as Error);
  t.match((error as Error).message, /others than its owner/);
  t.notMatch((error as Error).message, /horse/, 'nothing of what is in it');
});
