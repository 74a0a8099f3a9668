import { readFile, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { silentLogger } from '../../../src/base/log.ts';
import { loadIdentity } from '../../../src/p2p/peer/identity.ts';

t.test('the peer id stays, the instance id is new each time', async (t) => {
  const dir = t.testdir({});
  const first = await loadIdentity(dir, silentLogger);
  const second = await loadIdentity(dir, silentLogger);
  t.match(first.peer, /^[0-9a-f]{20}$/);
  t.equal(second.peer, first.peer);
  t.not(second.instance, first.instance);
  const file = join(dir, 'v1', 'peer-id');
  t.equal(await readFile(file, 'utf8'), `${first.peer}\n`);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  await writeFile(file, 'not an id: ../../x\n');
  t.match((await loadIdentity(dir, silentLogger)).peer, /^[0-9a-f]{20}$/, 'a damaged one is replaced');
});

t.test('an id that cannot be kept is an error that says where', async (t) => {
  const dir = t.testdir({ v1: 'a file' });
  await t.rejects(loadIdentity(dir, silentLogger), { code: 'PEER_ID_UNUSABLE', message: /v1.peer-id/ });
});

t.test('a peer id that is a symlink is not followed, and what it leads to is left alone', async (t) => {
  const dir = t.testdir({ elsewhere: 'aaaaaaaaaaaaaaaaaaaa\n' });
  await loadIdentity(dir, silentLogger);
  const file = join(dir, 'v1', 'peer-id');
  await unlink(file);
  await symlink(join(dir, 'elsewhere'), file);
  await t.rejects(loadIdentity(dir, silentLogger), { code: 'PEER_ID_UNUSABLE', message: /ELOOP/, todo: /symlink/ });
  t.equal(await readFile(join(dir, 'elsewhere'), 'utf8'), 'aaaaaaaaaaaaaaaaaaaa\n');
});
