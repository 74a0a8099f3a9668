import { request } from 'undici';
import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { startProxyService } from '../../src/app/proxy-service.ts';
import { startUp } from '../../src/app/up.ts';
import { createLogger, silentLogger } from '../../src/base/log.ts';
import { json, nodeConfig, peersReady, urlOf } from '../support/cluster.ts';

const image = makeDemoImage([2_500_000, 40_000]);

t.test('one process is a whole cluster of one, which others can join', async (t) => {
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const dir = t.testdir({});
  const up = await startUp(nodeConfig({ dir: `${dir}/up`, origin: origin.url }), { log: silentLogger });
  t.teardown(() => up.stop());
  const url = urlOf(up, 'supernode');
  await peersReady(url, 1);
  const status = await json(`${urlOf(up, 'api')}/api/v1/status`);
  t.match(status, { supernodes: [{ url, state: 'connected' }] });
  const dialBack = async (headers = {}) => fetch(`${urlOf(up, 'api')}/api/v1/dial-back`, { method: 'POST', headers });
  const pieces = urlOf(up, 'pieces').replace('http://', '');
  t.same(await (await dialBack()).json(), { supernode: url, address: pieces, error: null });
  t.equal((await dialBack({ origin: 'http://evil.example' })).status, 403);
  const foreign = request(`${urlOf(up, 'api')}/api/v1/dial-back`, {
    method: 'POST',
    headers: { host: 'evil.example' },
  });
  t.equal((await foreign).statusCode, 403, 'DNS rebinding');
  t.equal((await pullImage(urlOf(up, 'mirror'), 'demo/app', 'v1')).bytes, image.size);
  t.equal(origin.bytesOut, image.size);
  const { peers } = await json<{ peers: { from: string }[] }>(`${url}/api/v1/peers`);
  t.match(peers, [{ from: 'this process' }], 'its own proxy needs no socket');

  const config = nodeConfig({ dir: `${dir}/proxy`, origin: origin.url, supernodes: [url] });
  const proxy = await startProxyService(config, { log: silentLogger });
  t.teardown(() => proxy.stop());
  await peersReady(url, 2);
  t.equal((await pullImage(urlOf(proxy, 'mirror'), 'demo/app', 'v1')).bytes, image.size);
  t.equal(origin.bytesOut, image.size, 'the second node takes nothing from the origin');
});

t.test('with another supernode on its list it joins that one, and says so', async (t) => {
  const origin = await DemoOrigin.start('demo/app', 'v1', image);
  t.teardown(() => origin.stop());
  const dir = t.testdir({});
  const first = await startUp(nodeConfig({ dir: `${dir}/1`, origin: origin.url }), { log: silentLogger });
  t.teardown(() => first.stop());
  const url = urlOf(first, 'supernode');
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  const log = createLogger({ level: 'warn', format: 'json', destination });
  const config = nodeConfig({ dir: `${dir}/2`, origin: origin.url, supernodes: [url] });
  const second = await startUp(config, { log });
  t.teardown(() => second.stop());
  await peersReady(url, 2);
  t.match(lines.join(''), /"code":"SUPERNODE_NOT_LISTED"/);
  await peersReady(urlOf(second, 'supernode'), 0);
});
