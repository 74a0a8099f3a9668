import t from 'tap';
import { makeDemoImage } from '../../src/app/demo/image.ts';
import { DemoOrigin } from '../../src/app/demo/origin.ts';
import { pullImage } from '../../src/app/demo/pull.ts';
import { MiB } from '../../src/base/units.ts';
import { runCommand } from '../support/cli.ts';
import { HostileRegistry, makeImage } from '../support/hostile-registry.ts';
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

t.test('an order is cancelled: its peers stop, and who waits for it is told', async (t) => {
  const origin = await HostileRegistry.start();
  t.teardown(() => origin.close());
  origin.addImage('demo/app', 'v1', makeImage({ seed: 5, layers: [12 * MiB, 1000] }));
  origin.faults.on = ['blob'];
  origin.faults.bytesPerSecond = 400_000;
  const { url, proxies } = await startCluster(t, { origin: origin.url, nodes: 2 });
  const preheat = ['preheat', '--supernodes', url];
  const waiting = runCommand([...preheat, IMAGE, '--platform', 'linux/amd64', '--json']);
  const order = async () => (await json<{ preheats: View[] }>(`${url}/api/v1/preheats`)).preheats[0];
  await eventually('both are at it', async () => (await order())?.counts['running'] === 2);
  await eventually('bytes come', async () => origin.blobBytes() > 100_000);
  const { id } = (await order())!;

  const handlers = new Map<string, () => void>();
  const onSignal = (name: string, handler: () => void) => void handlers.set(name, handler);
  const other = runCommand([...preheat, IMAGE, '--platform', 'linux/amd64'], { onSignal });
  await eventually('it waits', async () => handlers.has('SIGINT'));
  handlers.get('SIGINT')!();
  const left = await other;
  const second = (await order())!;
  t.equal(left.status, 1);
  t.match(
    left.err,
    `hawker: INTERRUPTED: stopped by SIGINT before it was done; the order goes on. End it with hawker preheat --cancel ${second.id},`,
  );
  t.match([second.id !== id, second.state], [true, 'running']);
  t.match(await runCommand([...preheat, '--cancel', second.id, '--json']), {
    status: 0,
    out: /"state":"cancelled"/,
    err: '',
  });
  t.equal((await json<View>(`${url}/api/v1/preheats/${id}`)).state, 'running', 'the other order for the image goes on');

  const cancelled = await runCommand([...preheat, '--cancel', id]);
  t.same([cancelled.status, cancelled.err], [0, '']);
  t.match(cancelled.out, new RegExp(`^Cancelled: ${id}\n.* is on 0 of 2 peers\\.\n\nPEER `));
  t.match(cancelled.out, /cancelled .*PREHEAT_CANCELLED +the order was cancelled/);
  const told = await waiting;
  t.equal(told.status, 1);
  t.match(told.err, /^hawker: PREHEAT_INCOMPLETE: 2 of 2 peers do not have the image: .*PREHEAT_CANCELLED/);
  t.match(JSON.parse(told.out), { id, state: 'cancelled', counts: { cancelled: 2 } });
  const statuses = () =>
    Promise.all(proxies.map((proxy) => json<{ downloads: unknown[] }>(`${urlOf(proxy, 'api')}/api/v1/status`)));
  await eventually('nothing comes in', async () => (await statuses()).every(({ downloads }) => downloads.length === 0));
  t.ok(origin.blobBytes() < 6 * MiB, `${origin.blobBytes()} bytes`);

  t.match((await runCommand([...preheat, '--cancel', id])).out, `Cancelled: ${id}\n`, 'again');
  t.match(await runCommand([...preheat, '--cancel', 'none']), { status: 1, err: /PREHEAT_UNKNOWN/ });
  for (const wrong of [[], [IMAGE, '--cancel', id], ['--cancel', id, '--all']])
    t.equal((await runCommand([...preheat, ...wrong])).status, 2, wrong.join(' '));
});

t.test('an order that is over is not cancelled', async (t) => {
  const origin = await DemoOrigin.start('demo/app', 'v1', makeDemoImage([1000]));
  t.teardown(() => origin.stop());
  const { url } = await startCluster(t, { origin: origin.url, nodes: 1 });
  const done = await runCommand(['preheat', '--supernodes', url, IMAGE, '--json']);
  const { id } = JSON.parse(done.out) as View;
  const late = await runCommand(['preheat', '--supernodes', url, '--cancel', id]);
  t.match(late, { status: 0, err: '', out: `It was over already (done): ${id}\n` });
  t.match(late.out, /is on the one peer\./);
});

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
