import { createHash } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { silentLogger } from '../../src/base/log.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { MiB } from '../../src/base/units.ts';
import { loadAssets } from '../../src/dashboard/assets.ts';
import { MAX_LISTENERS } from '../../src/dashboard/event-hub.ts';
import { applyChange, type Change, type Snapshot } from '../../src/dashboard/page/model.ts';
import { dashboardRoutes } from '../../src/dashboard/routes.ts';
import { ApiAccess } from '../../src/http/api-access.ts';
import { supernodeApi } from '../../src/p2p/supernode/api.ts';
import { DashboardScene } from '../support/dashboard-scene.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { makeSupernode, until } from '../support/swarm-rig.ts';

/** Listens to the stream, as a page does. */
async function listen(url: string, signal: AbortSignal) {
  const answer = await fetch(`${url}/api/v1/events`, { signal });
  const state: { status: number; type: string | null; snapshot?: Snapshot } = {
    status: answer.status,
    type: answer.headers.get('content-type'),
  };
  const read = async () => {
    let text = '';
    for await (const part of answer.body!.pipeThrough(new TextDecoderStream())) {
      text += part;
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(event) ?? [];
        if (name === 'snapshot') state.snapshot = JSON.parse(data!) as Snapshot;
        if (name === 'change') state.snapshot = applyChange(state.snapshot!, JSON.parse(data!) as Change);
      }
    }
  };
  read().catch(() => undefined);
  await until('a snapshot is here', () => state.snapshot !== undefined);
  return state as typeof state & { snapshot: Snapshot };
}

t.test('the page and all that it is made of, from here, and from nowhere else', async (t) => {
  const { url } = await DashboardScene.start(t);
  const page = await fetch(url);
  t.equal(page.status, 200);
  t.equal(page.headers.get('content-type'), 'text/html; charset=utf-8');
  const policy = page.headers.get('content-security-policy')!;
  t.match(policy, "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;");
  t.notMatch(policy, 'unsafe');
  const html = await page.text();
  t.notMatch(html, /https?:\/\/(?!www\.w3\.org)/);
  const asked = new Set<string>();
  const ask = [...html.matchAll(/(?:href|src)="(\/[^"]*)"/g)].map(([, path]) => path!);
  t.ok(ask.includes('/dashboard/main.js') && ask.includes('/dashboard/style.css'));
  for (let path = ask.pop(); path !== undefined; path = ask.pop()) {
    if (asked.has(path)) continue;
    asked.add(path);
    const answer = await fetch(url + path);
    t.equal(answer.status, 200, path);
    const text = await answer.text();
    t.notMatch(text, 'sourceMappingURL', path);
    for (const [, name] of text.matchAll(/from ["']\.\/([\w.-]+)["']/g)) ask.push(`/dashboard/${name}`);
    const etag = answer.headers.get('etag')!;
    const again = await fetch(url + path, { headers: { 'if-none-match': etag } });
    t.same([again.status, await again.text()], [304, ''], path);
  }
  t.ok(asked.has('/dashboard/preact.js') && asked.has('/dashboard/model.js'), [...asked].join(' '));
  t.equal((await fetch(`${url}/dashboard/nothing.js`)).status, 404);
});

t.test('the stream says what the API says, as peers come and go', async (t) => {
  const scene = await DashboardScene.start(t);
  const end = new AbortController();
  t.teardown(() => end.abort());
  const heard = await listen(scene.url, end.signal);
  t.same([heard.status, heard.type], [200, 'text/event-stream']);
  t.same(heard.snapshot.counts, { ready: 0, unreachable: 0, stale: 0, left: 0, rejected: 0 });

  const one = await scene.join('node-1', { zone: 'east' });
  await scene.join('node-2', { reachable: false });
  const digest = scene.want(one, 'a layer', 20, 5);
  await scene.beat([[one, [1, 2, 3, 4]]]);
  const row = (id: string) => heard.snapshot.peers.find((peer) => peer.id === id);
  await until(
    'both are told of, and the bytes',
    () => /nobody there|ECONNREFUSED/.test(row('peer-0002')?.reason ?? '') && heard.snapshot.bytes.read === 4,
  );
  t.match(row('peer-0001'), { host: 'node-1', zone: 'east', state: 'ready', reason: '' });
  t.match(row('peer-0002'), { host: 'node-2', state: 'unreachable' });
  t.match(heard.snapshot.bytes, { store: 1, peers: 2, origin: 3, read: 4, saved: 2 });
  await until('the blob is told of', () => heard.snapshot.blobs.length === 1);
  const blob = { digest, size: 20 * MiB, pieces: 20, holders: 0, downloaders: 1, downloading: [['peer-0001', 5]] };
  t.same(heard.snapshot.blobs[0], blob);

  one.say({ t: 'bye' });
  one.ws.close();
  await until('it has left', () => row('peer-0001')?.state === 'left' && heard.snapshot.blobs.length === 0);
  const { peers } = (await (await fetch(`${scene.url}/api/v1/peers`)).json()) as { peers: { id: string }[] };
  const told = heard.snapshot.peers.map(({ id, state, reason, since }) => ({ id, state, reason, since }));
  t.match(peers, told);
});

t.test('one peer, one blob, and what is not there', async (t) => {
  const scene = await DashboardScene.start(t);
  const one = await scene.join('node-1');
  const whole = scene.announce(one, 'a whole', 3);
  const part = scene.want(one, 'a part', 20, 5);
  await scene.beat([[one, [1, 2, 3, 4]]]);
  const get = async (path: string) => {
    const answer = await fetch(`${scene.url}/api/v1/${path}`);
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  t.match(await get('peers/peer-0001'), {
    status: 200,
    body: {
      host: 'node-1',
      bytes: { store: 1, peers: 2, origin: 3, read: 4 },
      parts: [
        { digest: part, size: 20 * MiB, pieces: 20, held: 5, downloading: true },
        { digest: whole, size: 3 * MiB, pieces: 3, held: 3, downloading: false },
      ],
    },
  });
  t.match(await get(`blobs/${part}`), {
    status: 200,
    body: { digest: part, holders: [], downloading: ['peer-0001'], downloaded: [5] },
  });
  t.match((await get(`blobs/${encodeURIComponent(whole)}`)).body, { holders: ['peer-0001'], downloading: [] });
  t.match(await get('peers/peer-9999'), { status: 404, body: { code: 'PEER_NOT_LISTED' } });
  for (const digest of [`sha256:${'0'.repeat(64)}`, `sha512:${'0'.repeat(128)}`, 'sha256:..', 'x/y'])
    t.match(await get(`blobs/${digest}`), { status: 404, body: { code: 'BLOB_NOT_LISTED' } }, digest);
});

t.test('no more streams than there is room for, and none for other sites', async (t) => {
  const { url } = await DashboardScene.start(t);
  const end = new AbortController();
  t.teardown(() => end.abort());
  const ask = (site?: string) =>
    fetch(`${url}/api/v1/events`, { signal: end.signal, ...(site && { headers: { 'sec-fetch-site': site } }) });
  const others = await ask('cross-site');
  t.equal(others.status, 403);
  t.match(await others.json(), { code: 'BROWSER_REFUSED' });
  // As browsers ask where they say nothing of the site: a page of another names its origin.
  for (const origin of ['http://evil.example', 'null', url.replace('http', 'ftp')]) {
    const answer = await fetch(`${url}/api/v1/events`, { signal: end.signal, headers: { origin } });
    t.same([answer.status, ((await answer.json()) as { code: string }).code], [403, 'BROWSER_REFUSED'], origin);
  }
  t.equal((await fetch(`${url}/api/v1/events`, { signal: end.signal, headers: { origin: url } })).status, 200);
  for (let count = 1; count < MAX_LISTENERS; count += 1) t.equal((await ask('same-origin')).status, 200);
  const late = await ask();
  t.equal(late.status, 503);
  t.match(await late.json(), { code: 'DASHBOARD_BUSY' });
  t.equal((await fetch(`${url}/api/v1/events`, { method: 'HEAD' })).status, 404);
});

t.test('beyond loopback all of it asks for a token', async (t) => {
  const supernode = makeSupernode(new ManualClock());
  const app = fastify();
  t.teardown(() => app.close());
  const access = new ApiAccess({ operator: ['operator'.repeat(5)], reader: ['reader'.repeat(6)] });
  const deps = { supernode, clock: systemClock, log: silentLogger };
  const assets = await loadAssets();
  const more = (inside: FastifyInstance) => dashboardRoutes(inside, { ...deps, assets });
  await app.register(supernodeApi, { ...deps, metrics: new Metrics(), access, more });
  for (const url of [...assets.keys(), '/api/v1/events', '/api/v1/peers/x', '/api/v1/blobs/x']) {
    const refused = await app.inject({ method: 'GET', url });
    t.equal(refused.statusCode, 401, url);
    t.match(refused.headers['www-authenticate'], /^Basic /, url);
  }
  const person = await app.inject({ method: 'GET', url: '/', headers: { accept: 'text/html,*/*' } });
  t.equal(person.statusCode, 401, 'who closes the browser’s question sees what it was about');
  t.match(person.headers, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' });
  t.match(person.body, /asks for a token.*hawker token --operator/s);
  const style = /<style>(.*)<\/style>/s.exec(person.body)![1]!;
  const hash = createHash('sha256').update(style).digest('base64');
  t.ok(person.headers['content-security-policy']!.includes(`default-src 'none'; style-src 'sha256-${hash}';`));
  const authorization = `Basic ${Buffer.from(`x:${'operator'.repeat(5)}`).toString('base64')}`;
  t.equal((await app.inject({ method: 'GET', url: '/', headers: { authorization } })).statusCode, 200);
});
