import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { startUp } from '../../src/app/up.ts';
import { createLogger } from '../../src/base/log.ts';
import { GiB } from '../../src/base/units.ts';
import type { Config } from '../../src/config/config.ts';
import { eventually, json, nodeConfig, urlOf } from '../support/cluster.ts';
import { FileServer } from '../support/file-server.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const SECRET = 'the join secret of a test, long enough for it';
const NEW = 'the secret that comes, which is long enough too';

t.test('files.allow and files.ca: at once, also for the redirects of what comes just now', async (t) => {
  const server = await FileServer.start(t, 3_000_000);
  const dir = t.testdir({ store: {}, 'ca.pem': 'no certificate' });
  const config = nodeConfig({ dir: join(dir, 'store'), origin: 'http://127.0.0.1:1', files: [`${server.url}/old/**`] });
  const lines: string[] = [];
  const log = createLogger({ level: 'info', format: 'json', destination: { write: (text) => void lines.push(text) } });
  const service = await startUp(config, { log });
  t.teardown(() => service.stop());
  const ask = (path: string) =>
    fetch(`${urlOf(service, 'api')}/api/v1/files?url=${encodeURIComponent(server.url + path)}`);
  const withFiles = (allow: readonly string[], ca?: string): Config => ({ ...config, files: { allow, ca } });
  let goOn: () => void = () => undefined;
  server.holdAt = 1_000_000;
  server.hold = () =>
    new Promise((resolve) => {
      goOn = resolve;
    });
  const coming = await ask('/old/x');
  t.equal(coming.status, 200);
  t.equal((await ask('/new/x')).status, 403);

  t.same((await service.reload(withFiles([`${server.url}/new/**`]))).errors, []);
  t.equal((await ask('/old/y')).status, 403);
  server.holdAt = Infinity;
  goOn();
  t.equal((await coming.arrayBuffer()).byteLength, 3_000_000, 'what was coming goes on');
  const now = await ask('/new/x');
  t.equal((await now.arrayBuffer()).byteLength, 3_000_000);

  const faulty = await service.reload(withFiles([`${server.url}/old/**`], join(dir, 'none.pem')));
  t.match(faulty.errors, [{ code: 'FILES_CA_UNUSABLE', message: /ENOENT/ }]);
  t.notOk(faulty.keys.includes('files.allow'));
  t.match((await service.reload(withFiles([], join(dir, 'ca.pem')))).errors, [{ code: 'FILES_CA_UNUSABLE' }]);
  t.equal((await ask('/old/z')).status, 403, 'all stays as it was');
  t.equal((await ask('/new/z')).status, 200);
});

t.test('what SIGHUP takes up is what the documents say', async (t) => {
  const dir = t.testdir({ secret: `${SECRET}\n` });
  const secretFile = join(dir, 'secret');
  chmodSync(secretFile, 0o600);
  const lines: { code: string }[] = [];
  const destination = { write: (text: string) => void lines.push(JSON.parse(text) as { code: string }) };
  const log = createLogger({ level: 'info', format: 'json', destination });
  const config: Config = {
    ...nodeConfig({ dir: join(dir, 'store'), origin: 'http://127.0.0.1:1' }),
    cluster: { secretFile, operatorTokenFile: undefined },
  };
  const service = await startUp(config, { log });
  t.teardown(() => service.stop());
  const supernode = urlOf(service, 'supernode');
  const secrets = async () =>
    (await json<{ peers: { secrets: string[] }[] }>(`${supernode}/api/v1/peers`)).peers.map((peer) => peer.secrets);
  await eventually('its own proxy is there', async () => (await secrets()).length === 1);

  const { keys, errors } = await service.reload(config);
  t.same(errors, []);
  // What the process takes up by itself.
  const all = ['log.level', ...keys].toSorted();
  const yaml = readFileSync(join(ROOT, 'config/hawker.yaml'), 'utf8');
  const [, listed = ''] = /# SIGHUP: (.*?)\.\n/s.exec(yaml) ?? [];
  t.same(listed.replaceAll('\n#', '').split(/,\s*/).toSorted(), all, 'config/hawker.yaml');
  const page = readFileSync(join(ROOT, 'docs/configuration.md'), 'utf8');
  const taken = [...page.matchAll(/^\| \[`([\w.]+)`\].* \| SIGHUP +\|$/gm)].map(([, key]) => key!);
  // Not set at the start here, so nobody takes them up.
  const more = [
    'cluster.tls.ca',
    'cluster.tls.cert',
    'cluster.tls.key',
    'proxy.tls.cert',
    'proxy.tls.clientCa',
    'proxy.tls.key',
    'proxy.usersFile',
  ];
  t.same(taken.toSorted(), [...all, ...more].toSorted(), 'docs/configuration.md');

  const upstreams = { ...config.upstreams, 'new.test': { url: 'http://127.0.0.1:2', insecure: false, allow: [] } };
  writeFileSync(secretFile, `${SECRET}\nnext: ${NEW}\n`);
  const next = { ...config, upstreams, store: { ...config.store, quotaBytes: 2 * GiB } };
  t.same((await service.reload(next)).errors, []);
  const status = await json<{ store: { quota: number } }>(`${urlOf(service, 'api')}/api/v1/status`);
  t.equal(status.store.quota, 2 * GiB);
  const manifest = `${urlOf(service, 'mirror')}/v2/app/manifests/v1?ns=`;
  t.equal((await fetch(`${manifest}other.test`)).status, 404, 'not among the upstreams');
  t.not((await fetch(`${manifest}new.test`)).status, 200);
  t.match(
    lines.filter(({ code }) => code === 'SECRET_CHANGED'),
    [{ accepted: 2, second: 'next' }],
  );
  await eventually('its own session is opened anew', async () => (await secrets()).join('+') === 'current,next');

  writeFileSync(secretFile, 'short\n');
  const faulty = await service.reload(next);
  t.match(faulty.errors, [{ code: 'SECRET_UNUSABLE' }]);
  t.notOk(faulty.keys.includes('cluster.secretFile'));
  t.match(await service.reload({ ...next, cluster: { ...next.cluster, secretFile: undefined } }), {
    errors: [{ code: 'MEMBERSHIP_NEEDS_RESTART' }],
  });
  t.same((await secrets())[0], ['current', 'next'], 'all stays as it was');
});
