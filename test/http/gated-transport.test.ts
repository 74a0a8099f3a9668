import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { AddressGate } from '../../src/http/address-gate.ts';
import { gatedTransport } from '../../src/http/gated-transport.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { makeImage } from '../support/hostile-registry.ts';
import { HAS_IPV6 } from '../support/ipv6.ts';
import { until } from '../support/piece-rig.ts';
import {
  failureOf,
  hastyClock,
  KeepingSink,
  never,
  openUpstream,
  type Ends,
  type Opened,
} from '../support/registry-client.ts';
import { EgressProxy } from '../support/registry-egress.ts';
import { TEST_TLS } from '../support/registry-tls.ts';

const REPO = 'library/app';
const image = makeImage({ seed: 5, layers: [50_000] });
const layer = image.layers[0]!;

async function egress(test: Ends): Promise<EgressProxy> {
  const proxy = await EgressProxy.start();
  test.teardown(() => proxy.close());
  return proxy;
}

const manifest = ({ upstream }: Opened) => upstream.getManifest(REPO, { tag: 'v1' }, MANIFEST_ACCEPT);

async function blob({ upstream }: Opened): Promise<number> {
  const sink = new KeepingSink();
  await upstream.blob(REPO, layer.digest).read({ start: 0 }, sink, never);
  return sink.length;
}

t.test('by an egress proxy: http and https, IPv4 and IPv6, both clients', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'hawker-ca-'));
  t.teardown(() => rm(dir, { recursive: true }));
  const ca = join(dir, 'ca.pem');
  await writeFile(ca, TEST_TLS.cert);
  for (const tls of [undefined, TEST_TLS]) {
    for (const address of ['127.0.0.1', ...(HAS_IPV6 ? ['::1'] : [])]) {
      const proxy = await egress(t);
      proxy.authorization = `Basic ${btoa('user:p@ss')}`;
      const settings = { egressProxy: `http://user:p%40ss@${proxy.host}`, ...(tls ? { ca } : {}) };
      const opened = await openUpstream(t, settings, { origin: { address, ...(tls ? { tls } : {}) } });
      opened.origin.addImage(REPO, 'v1', image);
      opened.origin.auth.mode = 'bearer';
      opened.origin.redirectBlobs = { status: 307 };
      await manifest(opened);
      t.equal(await blob(opened), 50_000);
      t.strictSame(new Set(proxy.targets), new Set([opened.origin.host, opened.origin.cdnHost]));
      t.equal(opened.origin.requests[0]!.headers.host, opened.origin.host);
      t.equal(opened.origin.requests[0]!.headers['proxy-authorization'], undefined);
    }
  }
});

t.test('an egress proxy that refuses, is silent or is not there', async (t) => {
  const proxy = await egress(t);
  const settings = { egressProxy: `http://me:pass-word@${proxy.host}` };
  const opened = await openUpstream(t, settings, { clock: hastyClock });
  for (const status of [403, 407, 502]) {
    proxy.status = status;
    for (const attempt of [manifest, blob]) {
      const error = await failureOf(attempt(opened));
      t.match(error, { code: 'ORIGIN_UNREACHABLE', final: false, message: String(status) });
      t.notMatch(error.message, /pass-word/);
    }
  }
  proxy.status = 0;
  const limits = { connectMs: 200, headersMs: 2000 };
  const hasty = await openUpstream(t, settings, { clock: hastyClock, limits });
  t.match(await failureOf(manifest(hasty)), { code: 'ORIGIN_TIMEOUT' });
  t.match(await failureOf(blob(hasty)), { code: 'ORIGIN_TIMEOUT' });
  await proxy.close();
  t.match(await failureOf(manifest(opened)), { code: 'ORIGIN_UNREACHABLE' });
  t.match(await failureOf(blob(opened)), { code: 'ORIGIN_UNREACHABLE' });
});

t.test('what is written as a private address does not reach the egress proxy either', async (t) => {
  const proxy = await egress(t);
  const opened = await openUpstream(t, { egressProxy: `http://${proxy.host}`, allow: [] });
  opened.origin.addImage(REPO, 'v1', image);
  opened.origin.redirectBlobs = { status: 307 };
  t.match(await failureOf(blob(opened)), { code: 'ADDRESS_REFUSED' });
  opened.origin.faults.on = ['manifest'];
  opened.origin.faults.status = { code: 307, times: 1 };
  opened.origin.faults.headers = { location: 'http://10.0.0.1/x' };
  t.match(await failureOf(manifest(opened)), { code: 'ADDRESS_REFUSED' });
  t.notMatch(proxy.targets, ['127.0.0.2']);
});

t.test('the agents stand behind the gate, whoever uses them', async (t) => {
  const opened = await openUpstream(t);
  const gate = new AddressGate({ open: undefined, allow: [] }, (_, __, callback) =>
    callback(null, [{ address: '127.0.0.1', family: 4 }]),
  );
  const transport = gatedTransport({ gate, connectTimeoutMs: 60_000, insecure: false });
  t.teardown(() => transport.close());
  const port = opened.origin.host.split(':')[1]!;
  for (const host of ['127.0.0.1', 'rebound.test']) {
    const error = await new Promise((resolve) => {
      request({ host, port, agent: transport.agent('http:') }, () => resolve(undefined))
        .on('error', resolve)
        .end();
    });
    t.match(error, { code: 'ADDRESS_REFUSED' }, host);
    const read = await new Promise((resolve) => {
      const handler = { head: resolve, data: resolve, end: () => resolve('an end'), failed: resolve };
      transport.reader.get(new URL(`http://${host}:${port}/`), {}, handler);
    });
    t.match(read, { code: 'ADDRESS_REFUSED' }, host);
  }
  t.equal(opened.origin.requests.length, 0);
});

t.test('idle connections are closed on demand, those in use end their request', async (t) => {
  let release: () => void = () => undefined;
  const server = createServer((incoming, response) => {
    if (incoming.url === '/slow') release = () => response.end('slow');
    else response.end('quick');
  });
  let open = 0;
  server.on('connection', (socket) => {
    open += 1;
    socket.once('close', () => (open -= 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const gate = new AddressGate({ open: '127.0.0.1', allow: [] });
  const transport = gatedTransport({ gate, connectTimeoutMs: 60_000, insecure: false });
  t.teardown(async () => {
    await transport.close();
    server.close();
  });
  const dispatched = (path: string) =>
    new Promise<string>((resolve, reject) => {
      let text = '';
      const data = (chunk: Uint8Array) => void (text += Buffer.from(chunk).toString());
      transport.reader.get(
        new URL(path, origin),
        {},
        { head: () => undefined, data, end: () => resolve(text), failed: reject },
      );
    });
  const slow = dispatched('/slow');
  await dispatched('/quick');
  await new Promise<void>((resolve, reject) => {
    const asked = request(`${origin}/quick`, { agent: transport.agent('http:') }, (response) => {
      response.resume().once('end', resolve);
    });
    asked.once('error', reject).end();
  });
  await until(() => open === 3);
  await until(() => {
    transport.closeIdle();
    return open === 1;
  });
  release();
  t.equal(await slow, 'slow');
  await until(() => open === 0);
  t.equal(await dispatched('/quick'), 'quick', 'new ones are opened');
});
