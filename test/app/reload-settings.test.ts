import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { startUp } from '../../src/app/up.ts';
import { createLogger } from '../../src/base/log.ts';
import { GiB } from '../../src/base/units.ts';
import type { Config } from '../../src/config/config.ts';
import { eventually, json, nodeConfig, urlOf } from '../support/cluster.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const SECRET = 'the join secret of a test, long enough for it';
const NEW = 'the secret that comes, which is long enough too';

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
