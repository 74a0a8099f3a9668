import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { readMirrorClients, reloadMirrorClients } from '../../src/app/mirror-clients.ts';
import { Reloads } from '../../src/app/reloads.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { Config } from '../../src/config/config.ts';
import type { MirrorTls } from '../../src/proxy/mirror-tls.ts';
import type { Upstream } from '../../src/registry/upstream.ts';
import { cheapHash } from '../support/cheap-hash.ts';
import { CLIENT_CA } from '../support/client-certificates.ts';
import { nodeConfig } from '../support/cluster.ts';
import { TEST_TLS } from '../support/registry-tls.ts';

const dir = mkdtempSync(join(tmpdir(), 'hawker-mirror-clients-'));
t.teardown(() => rmSync(dir, { recursive: true }));
const write = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text, { mode: 0o600 });
  return join(dir, name);
};
const base = nodeConfig({ dir, origin: 'http://127.0.0.1:1' });
const withProxy = (proxy: Partial<Config['proxy']>): Config => ({ ...base, proxy: { ...base.proxy, ...proxy } });
const REPOSITORY = { upstream: { host: 'r' } as Upstream, repository: 'app' };
const alice = { address: '192.0.2.1', isLocal: false, user: 'alice' };

t.test('rules, users and certificates are read again; what cannot be used changes nothing', async (t) => {
  const usersFile = write('users', `alice:${cheapHash('one')}\n`);
  const tls = { cert: write('cert', TEST_TLS.cert), key: write('key', TEST_TLS.key), clientCa: write('ca', CLIENT_CA) };
  const config = withProxy({ usersFile, tls });
  const clients = await readMirrorClients(config, systemClock);
  const reloads = new Reloads();
  const secured: MirrorTls[] = [];
  reloadMirrorClients(reloads, clients, { secure: (next) => void secured.push(next) });
  t.notOk(clients.rules.allow(alice, REPOSITORY));
  await clients.logins!.check('alice', 'one', '192.0.2.1');

  write('users', `alice:${cheapHash('two')}\n`);
  const rules = [{ users: ['alice'], repositories: ['r/*'] }];
  const taken = await reloads.run(withProxy({ usersFile, tls, rules }));
  t.same(taken.errors, []);
  t.same(taken.keys, ['proxy.rules', 'proxy.usersFile', 'proxy.tls.cert', 'proxy.tls.key', 'proxy.tls.clientCa']);
  t.ok(clients.rules.allow(alice, REPOSITORY));
  await t.rejects(clients.logins!.check('alice', 'one', '192.0.2.1'), { code: 'LOGIN_REFUSED' });
  await clients.logins!.check('alice', 'two', '192.0.2.1');
  t.equal(secured.length, 1);

  write('users', 'alice:not-a-hash\n');
  write('key', 'no key');
  const spoilt = await reloads.run(withProxy({ usersFile, tls, rules: [] }));
  t.match(spoilt, {
    keys: ['proxy.rules'],
    errors: [{ code: 'USERS_FILE_UNUSABLE' }, { code: 'MIRROR_TLS_UNUSABLE' }],
  });
  await clients.logins!.check('alice', 'two', '192.0.2.1');
  t.equal(secured.length, 1);

  write('key', TEST_TLS.key);
  const off = await reloads.run(withProxy({ tls: { ...tls, clientCa: undefined } }));
  t.match(off.errors, [{ message: /only with a restart/ }, { message: /only with a restart/ }]);
});

t.test('a node that has none of it', async (t) => {
  const clients = await readMirrorClients(base, systemClock);
  t.match(clients, { logins: undefined, tls: undefined });
  const reloads = new Reloads();
  reloadMirrorClients(reloads, clients, { secure: () => t.fail('there is no TLS') });
  const usersFile = write('users', '');
  t.same(
    await reloads.run(withProxy({ usersFile })),
    { keys: ['proxy.rules'], errors: [] },
    'users wait for a restart',
  );
});
