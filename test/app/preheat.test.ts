import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { MiB } from '../../src/base/units.ts';
import { runCommand } from '../support/cli.ts';
import { eventually, json, REGISTRY, startCluster, urlOf } from '../support/cluster.ts';

const IMAGE = `${REGISTRY}/demo/app:v1`;
interface View {
  id: string;
  state: string;
  digest: string;
  counts: Record<string, number>;
  peers: { state: string; failure: { code: string } | null }[];
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/api/v1/preheat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

t.test(
  'a cluster is ordered to fetch an image: one copy from the origin, and no byte more for the pulls',
  async (t) => {
    const image = makeDemoImage([5 * MiB, 300_000]);
    const origin = await DemoOrigin.start('demo/app', 'v1', image);
    t.teardown(() => origin.stop());
    const { url, proxies } = await startCluster(t, { origin: origin.url, nodes: 3 });

    const ordered = await post(url, { image: IMAGE });
    t.equal(ordered.status, 202);
    const { id } = (await ordered.json()) as View;
    t.equal(ordered.headers.get('location'), `/api/v1/preheats/${id}`);
    await eventually('it is over', async () => (await json<View>(`${url}/api/v1/preheats/${id}`)).state !== 'running');
    const view = await json<View>(`${url}/api/v1/preheats/${id}`);
    t.match(view, {
      image: IMAGE,
      counts: { done: 3 },
      peers: [{ state: 'done', failure: null, blobs: 4, blobsHere: 4 }],
    });
    t.equal(origin.bytesOut, image.size, 'one copy');
    const { preheats } = await json<{ preheats: View[] }>(`${url}/api/v1/preheats`);
    t.match(preheats, [{ id, state: 'done' }]);
    t.notOk('peers' in preheats[0]!);

    const pulls = proxies.map((proxy) => pullImage(urlOf(proxy, 'mirror'), 'demo/app', 'v1'));
    for (const { bytes } of await Promise.all(pulls)) t.equal(bytes, image.size);
    t.equal(origin.bytesOut, image.size, 'no byte more');

    const command = await runCommand(['preheat', IMAGE, '--supernodes', url, '--peers', '2']);
    t.same([command.status, command.err], [0, '']);
    t.match(
      command.out,
      /^demo\.test\/demo\/app:v1 \(sha256:[0-9a-f]{64}\) is on all 2 peers\.\n\nPEER +STATE +BLOBS +SIZE\n/,
    );
    const asJson = await runCommand(['preheat', IMAGE, '--supernodes', url, '--json']);
    t.match(JSON.parse(asJson.out), { state: 'done', digest: view.digest, counts: { done: 3 } });
    const noWait = await runCommand(['preheat', IMAGE, '--supernodes', url, '--no-wait']);
    t.match(noWait.out, /^Ordered from 3 peers at http:.*: [0-9a-f]{16}\n$/);
  },
);

t.test('what cannot be done is said, with code and what to do', async (t) => {
  const origin = await DemoOrigin.start('demo/app', 'v1', makeDemoImage([1000]));
  t.teardown(() => origin.stop());
  const { url } = await startCluster(t, { origin: origin.url, nodes: 2 });
  const refused = async (body: unknown, status: number, code: string, headers?: Record<string, string>) => {
    const answer = await post(url, body, headers);
    t.equal(answer.status, status, code);
    t.match(await answer.json(), { code, message: String, todo: String });
  };
  await refused({}, 400, 'PREHEAT_INVALID');
  await refused({ image: 'a b' }, 400, 'PREHEAT_INVALID');
  await refused({ image: 'a', more: 1 }, 400, 'PREHEAT_INVALID');
  await refused({ image: 'a', timeout: 'soon' }, 400, 'PREHEAT_INVALID');
  await refused({ image: 'a', timeout: '1ms' }, 400, 'PREHEAT_INVALID');
  await refused('{', 400, 'PREHEAT_INVALID');
  await refused({ image: IMAGE, zone: 'none' }, 409, 'PREHEAT_NO_PEERS');
  await refused({ image: IMAGE, peers: 3 }, 409, 'PREHEAT_TOO_FEW_PEERS');
  await refused({ image: IMAGE }, 403, 'BROWSER_REFUSED', { origin: 'http://evil.test' });
  t.equal((await fetch(`${url}/api/v1/preheats/none`)).status, 404);

  const run = (...argv: string[]) => runCommand(['preheat', '--supernodes', url, ...argv]);
  const none = await run(`${REGISTRY}/demo/app:none`);
  t.equal(none.status, 1);
  t.match(none.out, /is on 0 of 2 peers/);
  t.match(none.err, /^hawker: PREHEAT_INCOMPLETE: 2 of 2 peers do not have the image: .*ORIGIN_NOT_FOUND/);
  const foreign = await run('elsewhere.test/demo/app');
  t.match(foreign.err, /UPSTREAM_UNKNOWN, elsewhere.test is not among the upstreams/);
  t.match(await run(IMAGE, '--zone', 'none'), {
    status: 1,
    err: /PREHEAT_NO_PEERS: no peer of zone "none" is connected/,
  });
  for (const wrong of [
    ['No Image'],
    [IMAGE, '--all', '--peers', '1'],
    [IMAGE, '--peers', 'x'],
    [IMAGE, '--platform', 'x'],
  ]) {
    t.match(await run(...wrong), { status: 2, err: /^hawker: USAGE: .*hawker preheat --help\n$/ });
  }
});
