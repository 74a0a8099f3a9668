import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { digestOf } from '../../src/base/digest.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MiB } from '../../src/base/units.ts';
import { encodeFileHeaders, FILE_HEADERS } from '../../src/files/file-headers.ts';
import { eventually, json, nodeConfig, startCluster, urlOf } from '../support/cluster.ts';
import { FileServer } from '../support/file-server.ts';

/** What a server may have sent to connections that were cut, and nobody has read: the swarm shares reads out anew as others join. */
const SLACK = 6 * MiB;
/** No image is pulled here. */
const NO_REGISTRY = 'http://127.0.0.1:1';

async function cluster(t: Test, nodes: number, size: number) {
  const server = await FileServer.start(t, size);
  const { proxies, url } = await startCluster(t, { origin: NO_REGISTRY, nodes, files: [`${server.url}/**`] });
  return { server, proxies, supernode: url };
}

function ask(proxy: Service, url: string, more: { sha256?: string; headers?: Record<string, string> } = {}) {
  const query = new URLSearchParams({ url, ...(more.sha256 !== undefined && { sha256: more.sha256 }) });
  return fetch(`${urlOf(proxy, 'api')}/api/v1/files?${query.toString()}`, { headers: more.headers ?? {} });
}

async function bytesOf(answer: Response): Promise<Buffer> {
  return Buffer.from(await answer.arrayBuffer());
}

/** Asks all at once; the digests of what they get, or what they are told instead. */
function askAll(proxies: readonly Service[], url: string, sha256?: string): Promise<string[]> {
  const more = sha256 === undefined ? {} : { sha256 };
  return Promise.all(
    proxies.map(async (proxy) => {
      const answer = await ask(proxy, url, more);
      const bytes = await bytesOf(answer);
      return answer.status === 200 ? digestOf(bytes) : `${answer.status} ${bytes.toString()}`;
    }),
  );
}

async function transferOf(proxy: Service, answer: Response) {
  const id = answer.headers.get('x-hawker-transfer')!;
  return json<{ state: string; sources: Record<string, number>; error: { code: string } | null }>(
    `${urlOf(proxy, 'api')}/api/v1/files/transfers/${id}`,
  );
}

t.test('four proxies at once take one copy from the server: by ETag and size, and by digest', async (t) => {
  const { server, proxies, supernode } = await cluster(t, 4, 12 * MiB + 5);
  server.stepMs = 10;
  const right = server.sha256;
  const size = server.bytes.length;
  const once = (what: string): void => {
    t.ok(server.bytesOut >= size && server.bytesOut < size + SLACK, `${what}: ${server.bytesOut} of ${size} bytes`);
    server.bytesOut = 0;
  };
  t.same(await askAll(proxies, `${server.url}/a`), Array(4).fill(right), 'by ETag: all have the right bytes');
  once('its server has sent it once');
  t.same(await askAll(proxies, `${server.url}/b`, right.slice(7)), Array(4).fill(right), 'by digest: as well');
  once('and once more for another URL');
  server.requests.length = 0;
  t.same(await askAll(proxies, `${server.url}/a`), Array(4).fill(right), 'again');
  t.same(new Set(server.requests.map(({ method }) => method)), new Set(['HEAD']), 'from the stores now');
  const { blobs } = await json<{ blobs: { digest: string; holders: string[] }[] }>(`${supernode}/api/v1/blobs`);
  t.equal(blobs.length, 2, 'the supernode knows two files');
  for (const { digest, holders } of blobs) {
    t.match(digest, /^file:[0-9a-f]{64}$/);
    t.equal(holders.length, 4);
  }
});

t.test('a file of one piece, and one of no bytes', async (t) => {
  const { server, proxies } = await cluster(t, 2, 1000);
  t.same(await askAll(proxies, `${server.url}/small`), Array(2).fill(server.sha256));
  t.equal(server.bytesOut, 1000);
  server.bytes = Buffer.alloc(0);
  server.etag = '"empty"';
  t.same(await askAll(proxies, `${server.url}/empty`), Array(2).fill(digestOf('')));
});

t.test('what was shared is in the store after a restart too, and is checked there', async (t) => {
  const server = await FileServer.start(t, 3 * MiB);
  const config = nodeConfig({ dir: t.testdir({}), origin: NO_REGISTRY, supernodes: [], files: [`${server.url}/**`] });
  for (const size of [3 * MiB, 1000]) {
    server.bytes = server.bytes.subarray(0, size);
    server.etag = `"${size}"`;
    server.bytesOut = 0;
    const first = await startProxyService(config, { log: silentLogger });
    t.same(await askAll([first], `${server.url}/x`), [server.sha256]);
    await first.stop();
    const second = await startProxyService(config, { log: silentLogger });
    t.teardown(() => second.stop());
    const answer = await ask(second, `${server.url}/x`);
    t.equal(answer.headers.get('x-hawker-source'), 'store');
    t.equal(digestOf(await bytesOf(answer)), server.sha256);
    t.equal(server.bytesOut, size);
    await second.stop();
  }
});

t.test('a proxy that may not read the file at its server gets no byte of it from others', async (t) => {
  const { server, proxies } = await cluster(t, 2, 2 * MiB);
  const [one, other] = proxies as [Service, Service];
  t.same(await askAll([one], `${server.url}/x`), [server.sha256]);
  for (const status of [403, 404, 401]) {
    server.status = status;
    for (const more of [{}, { sha256: server.sha256.slice(7) }]) {
      const answer = await ask(other, `${server.url}/x`, more);
      t.equal(answer.status, status);
      const { code, todo } = (await answer.json()) as { code: string; todo: string };
      t.match(code, /^ORIGIN_(?:UNAUTHORIZED|DENIED|NOT_FOUND)$/);
      t.notMatch(todo, /upstreams/, 'what to do is about files');
    }
  }
});

t.test('a server without ETag, with a weak one, or without a length: straight from it, each for itself', async (t) => {
  const { server, proxies } = await cluster(t, 2, 2 * MiB);
  for (const odd of [{ etag: undefined }, { etag: 'W/"v1"' }, { etag: '"v1"', hasLength: false }]) {
    Object.assign(server, { hasLength: true, bytesOut: 0 }, odd);
    for (const proxy of proxies) {
      const answer = await ask(proxy, `${server.url}/x`);
      t.equal(answer.headers.get('x-hawker-shared'), 'no');
      t.equal(digestOf(await bytesOf(answer)), server.sha256);
    }
    t.equal(server.bytesOut, 2 * server.bytes.length);
  }
});

t.test('with a digest any server will do: no ranges, no length, no ETag, no HEAD', async (t) => {
  const { server, proxies } = await cluster(t, 3, 5 * MiB);
  for (const [i, odd] of [
    { hasRanges: false },
    { hasLength: false },
    { etag: undefined },
    { hasHead: false },
  ].entries()) {
    Object.assign(server, { hasRanges: true, hasLength: true, hasHead: true, etag: '"x"', bytesOut: 0 }, odd);
    const got = await askAll(proxies, `${server.url}/${i}`, server.sha256.slice(7));
    t.same(got, Array(3).fill(server.sha256), JSON.stringify(odd));
  }
});

t.test('a wrong digest: no answer ends as if it were right, and the transfer says why', async (t) => {
  const { server, proxies } = await cluster(t, 1, 3 * MiB);
  const answer = await ask(proxies[0]!, `${server.url}/x`, { sha256: digestOf('another').slice(7) });
  await t.rejects(bytesOf(answer));
  t.match(await transferOf(proxies[0]!, answer), { state: 'failed', error: { code: 'FILE_DIGEST_MISMATCH' } });
  server.bytes = server.bytes.subarray(0, 1000);
  const small = await ask(proxies[0]!, `${server.url}/y`, { sha256: digestOf('another').slice(7) });
  t.equal(small.status, 502, 'of a small file nothing goes out');
  t.match(await small.json(), { code: 'FILE_DIGEST_MISMATCH' });
});

t.test('a wrong digest in a cluster: read once more, and nobody is blamed', async (t) => {
  const { server, proxies, supernode } = await cluster(t, 3, 3 * MiB);
  const answer = await ask(proxies[0]!, `${server.url}/x`, { sha256: digestOf('another').slice(7) });
  await t.rejects(bytesOf(answer));
  await eventually('it has failed', async () => (await transferOf(proxies[0]!, answer)).state === 'failed');
  t.ok(server.bytesOut <= 2 * server.bytes.length, `${server.bytesOut} bytes`);
  const { peers } = await json<{ peers: { state: string }[] }>(`${supernode}/api/v1/peers`);
  t.same(
    peers.map(({ state }) => state),
    ['ready', 'ready', 'ready'],
  );
});

t.test('a file that changes while it is read: what comes is never a mix of both', async (t) => {
  const { server, proxies } = await cluster(t, 2, 8 * MiB);
  const before = server.sha256;
  let isChanged = false;
  server.holdAt = 3 * MiB;
  server.hold = async () => {
    if (isChanged) return;
    isChanged = true;
    server.change('"v2"');
    // The old answer ends here, and what is asked for next is the new file.
    server.cutAfter = 0;
    await sleep(0);
  };
  const answers = await Promise.all(proxies.map((proxy) => ask(proxy, `${server.url}/x`)));
  for (const [i, answer] of answers.entries()) {
    const got = await bytesOf(answer).catch(() => undefined);
    if (got) t.ok([before, server.sha256].includes(digestOf(got)), 'all of it is one version');
    else t.match(await transferOf(proxies[i]!, answer), { state: 'failed', error: { code: 'FILE_CHANGED' } });
  }
  t.same(await askAll(proxies, `${server.url}/x`), Array(2).fill(server.sha256), 'asked again, it is the new one');
});

t.test('goes on where it was: by range, if it is still that file', async (t) => {
  const { server, proxies } = await cluster(t, 1, 3 * MiB);
  const [proxy] = proxies as [Service];
  const whole = await ask(proxy, `${server.url}/x`);
  const etag = whole.headers.get('etag')!;
  t.equal(digestOf(await bytesOf(whole)), server.sha256);
  const headers = { range: `bytes=${MiB}-`, 'if-range': etag };
  const rest = await ask(proxy, `${server.url}/x`, { headers });
  t.equal(rest.status, 206);
  t.equal(rest.headers.get('content-range'), `bytes ${MiB}-${3 * MiB - 1}/${3 * MiB}`);
  t.ok((await bytesOf(rest)).equals(server.bytes.subarray(MiB)));
  server.change('"v2"');
  const changed = await ask(proxy, `${server.url}/x`, { headers });
  t.equal(changed.status, 200, 'it is another: from the front');
  t.not(changed.headers.get('etag'), etag);
  t.equal(digestOf(await bytesOf(changed)), server.sha256);
});

t.test('a connection that was closed under a question is no answer', async (t) => {
  const { server, proxies } = await cluster(t, 1, 1000);
  for (const hasHead of [true, false]) {
    server.hasHead = hasHead;
    server.cutRequests = 1;
    t.same(await askAll(proxies, `${server.url}/${String(hasHead)}`), [server.sha256]);
    t.equal(server.cutRequests, 0);
  }
});

t.test('allow-list and address gate hold, for redirects too', async (t) => {
  const server = await FileServer.start(t, 1000);
  const { port } = new URL(server.url);
  const files = [
    `http://127.0.0.1:${port}/ok/**`,
    `http://127.0.0.1:${port}/moved/**`,
    `http://*.localhost:${port}/**`,
  ];
  const { proxies } = await startCluster(t, { origin: NO_REGISTRY, nodes: 1, files });
  const [proxy] = proxies as [Service];
  const refused = async (url: string, status: number, code: string) => {
    const answer = await ask(proxy, url);
    t.equal(answer.status, status, url);
    t.match(await answer.json(), { code, message: String, todo: String });
  };
  await refused(`${server.url}/other`, 403, 'FILE_NOT_ALLOWED');
  await refused(`${server.url}/ok/..%2fother`, 403, 'FILE_NOT_ALLOWED');
  await refused('https://downloads.example/x', 403, 'FILE_NOT_ALLOWED');
  await refused('file:///etc/passwd', 400, 'FILE_URL_INVALID');
  await refused(`http://me:pw@127.0.0.1:${port}/ok/x`, 400, 'FILE_URL_INVALID');
  await refused(`http://a.localhost:${port}/x`, 502, 'ADDRESS_REFUSED');
  server.location = '/moved/x';
  t.equal((await ask(proxy, `${server.url}/ok/x`)).status, 200, 'a redirect to what is allowed');
  server.location = '/other';
  await refused(`${server.url}/ok/x`, 502, 'ORIGIN_REDIRECT_REFUSED');
  server.location = `http://localhost:${port}/ok/x`;
  await refused(`${server.url}/ok/x`, 502, 'ORIGIN_REDIRECT_REFUSED');
  const page = await ask(proxy, `${server.url}/ok/x`, { headers: { origin: 'https://evil.example' } });
  t.equal(page.status, 400, 'a web page cannot ask');
});

t.test('what is signed into a URL stays on this node, where the cluster has no secret', async (t) => {
  const { server, proxies, supernode } = await cluster(t, 2, 2 * MiB);
  const [one, other] = proxies as [Service, Service];
  const signed = (n: number) => `${server.url}/x?X-Amz-Signature=${n}&X-Amz-Date=${n}&v=1`;
  t.same(await askAll([one], signed(1)), [server.sha256]);
  t.same(await askAll([one], signed(2)), [server.sha256], 'signed anew it is the same file');
  t.equal(server.bytesOut, server.bytes.length);
  t.same(await askAll([other], signed(3)), [server.sha256]);
  t.equal(server.bytesOut, 2 * server.bytes.length, 'the other node has read it for itself');
  const { blobs } = await json<{ blobs: unknown[] }>(`${supernode}/api/v1/blobs`);
  t.same(blobs, [], 'nobody else was told');
});

t.test(
  'a file behind a login goes on where it broke off, for whom its server gives it, and in this version only',
  async (t) => {
    const { server, proxies, supernode } = await cluster(t, 1, MiB);
    const url = `${server.url}/private/x`;
    server.authorization = 'Bearer alice-s-own-token';
    const login = { [FILE_HEADERS]: encodeFileHeaders({ authorization: server.authorization }) };
    const part = async (headers: Record<string, string>) => {
      const answer = await ask(proxies[0]!, url, { headers });
      return { answer, status: answer.status, bytes: await bytesOf(answer) };
    };
    const whole = await part(login);
    t.equal(whole.status, 200);
    const etag = whole.answer.headers.get('etag')!;
    t.match(etag, /^"[0-9a-f]{32}"$/);
    server.authorization = undefined;
    t.not((await part({})).answer.headers.get('etag'), etag, 'it is no id of what everybody gets');
    server.authorization = 'Bearer alice-s-own-token';
    const rest = { range: 'bytes=1048000-', 'if-range': etag };
    for (const hasRanges of [true, false]) {
      server.hasRanges = hasRanges;
      const { answer, status, bytes } = await part({ ...login, ...rest });
      t.same([status, answer.headers.get('content-range')], [206, `bytes 1048000-${MiB - 1}/${MiB}`]);
      t.equal(answer.headers.get('x-hawker-shared'), 'no');
      t.ok(bytes.equals(server.bytes.subarray(1_048_000)));
    }
    t.equal((await part(rest)).status, 401, 'to know the ETag is no right');
    t.equal((await part({ ...login, ...rest, 'if-range': '"other"' })).status, 200);
    server.change('"v2"');
    const changed = await part({ ...login, ...rest });
    t.equal(changed.status, 200, 'of another version the whole');
    t.ok(changed.bytes.equals(server.bytes));
    const { blobs } = await json<{ blobs: { size: number }[] }>(`${supernode}/api/v1/blobs`);
    t.ok(blobs.length <= 1, 'but for what everybody got nobody was told of it');
  },
);

t.test('a file behind a login: with its digest for those whose own login opens it, else for nobody else', async (t) => {
  const server = await FileServer.start(t, 2 * MiB);
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  const files = [`${server.url}/**`];
  const { proxies } = await startCluster(t, { origin: NO_REGISTRY, nodes: 1, files, log });
  const [proxy] = proxies as [Service];
  const url = `${server.url}/private/x`;
  server.authorization = 'Bearer alice-s-own-token';
  const login = (value: string) => ({ [FILE_HEADERS]: encodeFileHeaders({ authorization: value }) });
  const get = async (headers: Record<string, string>, sha256?: string) => {
    const answer = await ask(proxy, url, { headers, ...(sha256 !== undefined && { sha256 }) });
    const { status } = answer;
    const bytes = await bytesOf(answer);
    return {
      status,
      shared: answer.headers.get('x-hawker-shared'),
      is: digestOf(bytes),
      text: bytes.toString('latin1'),
    };
  };
  const alice = login(server.authorization);
  const bob = login('Bearer bob-s-other-token');
  const { sha256 } = server;
  const size = server.bytes.length;

  t.match(await get(alice), { status: 200, shared: 'no', is: sha256 });
  t.match(await get(alice), { status: 200, shared: 'no', is: sha256 });
  t.equal(server.bytesOut, 2 * size, 'each time from its server: nothing was kept');
  t.match(await get(alice, sha256.slice(7)), { status: 200, shared: 'yes', is: sha256 });
  t.match(await get(alice, sha256.slice(7)), { status: 200, shared: 'yes', is: sha256 });
  t.equal(server.bytesOut, 3 * size, 'with its digest once');
  for (const [headers, digest] of [[{}], [{}, sha256.slice(7)], [bob], [bob, sha256.slice(7)]] as const) {
    const refused = await get(headers, digest);
    t.match(refused, { status: 401, text: /ORIGIN_UNAUTHORIZED.*--header-file/ });
    t.notMatch(refused.text, 'bob-s-other-token');
  }
  server.loginPage = 'please log in';
  for (const headers of [{}, bob]) {
    const page = await ask(proxy, url, { headers, sha256: sha256.slice(7) }).then(bytesOf, () => Buffer.from('cut'));
    t.notOk(page.equals(server.bytes), 'a page for people who log in opens nothing');
    t.ok(page.length < 1000);
  }
  server.loginPage = undefined;
  server.status = 503;
  for (const headers of [{}, bob, alice]) {
    server.authorization = undefined;
    t.match(await get(headers, sha256.slice(7)), { status: 502 }, 'while its server is silent nobody gets it');
  }
  for (const secret of ['alice-s-own-token', 'bob-s-other-token']) t.notOk(lines.some((line) => line.includes(secret)));
  const bad = await ask(proxy, url, { headers: { [FILE_HEADERS]: encodeFileHeaders({ host: 'other.test' }) } });
  t.match([bad.status, await bad.json()], [400, { code: 'FILE_HEADER_INVALID' }]);
});

t.test('a login goes to the server of the URL, and nowhere that it leads to', async (t) => {
  const elsewhere = await FileServer.start(t, 1000);
  const server = await FileServer.start(t, 1000);
  const files = [`${server.url}/**`, `${elsewhere.url}/**`];
  const { proxies } = await startCluster(t, { origin: NO_REGISTRY, nodes: 1, files });
  server.location = `${elsewhere.url}/moved/x`;
  const headers = { [FILE_HEADERS]: encodeFileHeaders({ authorization: 'Bearer secret', 'private-token': 'secret' }) };
  for (const sha256 of [undefined, elsewhere.sha256.slice(7)]) {
    const answer = await ask(proxies[0]!, `${server.url}/x`, { headers, ...(sha256 !== undefined && { sha256 }) });
    t.equal(digestOf(await bytesOf(answer)), elsewhere.sha256);
  }
  t.ok(server.requests.every(({ headers }) => headers['private-token'] === 'secret'));
  t.ok(elsewhere.requests.length > 2);
  t.notMatch(JSON.stringify(elsewhere.requests), 'secret');
  server.location = `${server.url}/moved/x`;
  const near = server.requests.length;
  t.equal((await ask(proxies[0]!, `${server.url}/x`, { headers })).status, 200);
  t.ok(
    server.requests.slice(near).every(({ headers }) => headers['private-token'] === 'secret'),
    'on its own server it does',
  );
});

t.test('the store cannot take it: it streams through, and is checked', async (t) => {
  const server = await FileServer.start(t, 4 * MiB);
  const config = nodeConfig({ dir: t.testdir({}), origin: NO_REGISTRY, supernodes: [], files: [`${server.url}/**`] });
  const small = { ...config, store: { ...config.store, quotaBytes: MiB } };
  const proxy = await startProxyService(small, { log: silentLogger });
  t.teardown(() => proxy.stop());
  t.same(await askAll([proxy], `${server.url}/x`), [server.sha256]);
  t.same(await askAll([proxy], `${server.url}/x`, server.sha256.slice(7)), [server.sha256]);
  const wrong = await ask(proxy, `${server.url}/x`, { sha256: digestOf('another').slice(7) });
  await t.rejects(bytesOf(wrong));
  await eventually('the transfer has failed', async () => (await transferOf(proxy, wrong)).state === 'failed');
});
