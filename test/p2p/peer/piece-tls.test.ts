import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as connectPlain } from 'node:net';
import { connect as connectTls, createServer as createTls } from 'node:tls';
import t, { type Test } from 'tap';
import { systemClock } from '../../../src/base/clock.ts';
import type { Digest } from '../../../src/base/digest.ts';
import { Limiter } from '../../../src/base/limiter.ts';
import { Metrics } from '../../../src/base/metrics.ts';
import { KiB } from '../../../src/base/units.ts';
import { PieceClient } from '../../../src/p2p/peer/piece-client.ts';
import { ClusterTls } from '../../../src/p2p/protocol/cluster-tls.ts';
import { readTlsFiles, type TlsFiles, type TlsMaterial } from '../../../src/p2p/protocol/tls-files.ts';
import { whoamiBy } from '../../../src/p2p/protocol/whoami.ts';
import { plainAuth, RECEIVER, startPieceServer, until, type RunningServer } from '../../support/piece-rig.ts';
import { TestCa } from '../../support/test-ca.ts';

const PROOF = 'p'.repeat(43);
const NEVER = new AbortController().signal;

function clientOf(t: Test, tls: ClusterTls | undefined): PieceClient {
  const clock = systemClock;
  const limiter = new Limiter({ bytesPerSecond: undefined, clock });
  const client = new PieceClient({ auth: plainAuth(RECEIVER), clock, limiter, metrics: new Metrics(), tls });
  t.teardown(() => client.close());
  return client;
}

function put(server: RunningServer, bytes = randomBytes(300 * KiB + 7)): { digest: Digest; bytes: Buffer } {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
  server.shelf.blobs.set(digest, bytes);
  return { digest, bytes };
}

/** The first `length` bytes of a blob. */
async function fetchBlob(client: PieceClient, server: RunningServer, digest: Digest, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const sink = {
    head: () => undefined,
    write: (chunk: Uint8Array) => chunks.push(Buffer.from(chunk)) > 0,
    drained: async () => undefined,
  };
  await client.fetch(server.peer, digest, { start: 0, end: length }, sink, NEVER);
  return Buffer.concat(chunks);
}

/** What a peer says, whoever it is, as long as it may be asked; else the error. */
async function fate(client: PieceClient, server: RunningServer): Promise<{ code?: string; message?: string }> {
  const { digest, bytes } = put(server);
  return fetchBlob(client, server, digest, bytes.length).then(
    (got) => ({ message: got.equals(bytes) ? 'all of it' : 'something else' }),
    (error: { code: string; message: string }) => error,
  );
}

t.test('pieces by TLS between members, at an address that no certificate names', async (t) => {
  const ca = TestCa.root(t);
  const server = await startPieceServer(t, { tls: await ca.tls('a', { names: 'DNS:a.test' }), prove: () => PROOF });
  const tls = await ca.tls('b', { names: 'DNS:b.test' });
  t.same(await fate(clientOf(t, tls), server), { message: 'all of it' });
  t.match(await whoamiBy(tls)(server.peer.addresses[0]!, 'nonce-nonce-nonce'), { peer: server.peer.peer });
});

t.test('strangers get nothing: no certificate, one of another CA, one that has expired', async (t) => {
  const ca = TestCa.root(t);
  const server = await startPieceServer(t, { tls: await ca.tls('a') });
  const other = TestCa.root(t, 'other CA');
  // They trust the server, to be refused by it.
  const trusting = async (files: TlsFiles) => {
    const theirs = await readTlsFiles(files, Date.now());
    return new ClusterTls({ ...theirs, ca: readFileSync(ca.cert, 'utf8') });
  };
  const stranger = await trusting(other.issue('stranger'));
  t.match(await fate(clientOf(t, stranger), server), {
    code: 'PEER_TLS',
    message: /does not take this node’s certificate/,
  });
  t.match(await fate(clientOf(t, await expired(ca)), server), { code: 'PEER_TLS', message: /this node’s certificate/ });
  const nonce = 'nonce-nonce-nonce';
  await t.rejects(whoamiBy(stranger)(server.peer.addresses[0]!, nonce), { message: /this node’s certificate/ });
  const bare = connectTls({ port: Number(new URL(server.url).port), host: '127.0.0.1', ca: readFileSync(ca.cert) });
  const seen = await new Promise<string>((resolve) => {
    bare.on('error', (error: Error & { code?: string }) => resolve(error.code ?? error.message));
    bare.on('data', (data) => resolve(data.toString()));
    bare.write('GET /v1/whoami?nonce=nonce-nonce-nonce HTTP/1.1\r\nHost: x\r\n\r\n');
  });
  t.equal(seen, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'not even who answers there is told');
});

/** A member whose certificate has ended since it was started. */
async function expired(ca: TestCa): Promise<ClusterTls> {
  const files = ca.issue('late', { days: -1 });
  const [cert, key, authority] = [files.cert, files.key, files.ca].map((path) => readFileSync(path, 'utf8'));
  return new ClusterTls({ cert: cert!, key: key!, ca: authority!, chain: [] } satisfies TlsMaterial);
}

t.test('a server that is no member is refused', async (t) => {
  const ca = TestCa.root(t);
  const other = TestCa.root(t, 'other CA');
  const theirs = await startPieceServer(t, { tls: await other.tls('theirs') });
  const client = clientOf(t, await ca.tls('b'));
  t.match(await fate(client, theirs), { code: 'PEER_TLS', message: /signed by no CA that this node trusts/ });
  const late = await startPieceServer(t, { tls: await expired(ca) });
  t.match(await fate(client, late), { code: 'PEER_TLS', message: /has expired/ });
});

t.test('plain HTTP and TLS do not meet, and say so, both ways', async (t) => {
  const ca = TestCa.root(t);
  const tls = await ca.tls('a');
  const secured = await startPieceServer(t, { tls });
  const plain = await startPieceServer(t);
  t.match(await fate(clientOf(t, undefined), secured), { code: 'PEER_TLS', message: /speaks TLS only/ });
  t.match(await fate(clientOf(t, tls), plain), { code: 'PEER_TLS', message: /answers without TLS/ });
  const nonce = 'nonce-nonce-nonce';
  await t.rejects(whoamiBy(undefined)(secured.peer.addresses[0]!, nonce), { message: /speaks TLS only/ });
  await t.rejects(whoamiBy(tls)(plain.peer.addresses[0]!, nonce), { message: /answers without TLS/ });
});

t.test('a fresh connection resumes the session of the last one; after new certificates it does not', async (t) => {
  const ca = TestCa.root(t);
  const tls = await ca.tls('a');
  const server = createTls(tls.forMembers, (socket) => {
    seen.push(socket.isSessionReused());
    socket.on('error', () => undefined);
    socket.on('data', () => socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'));
  });
  tls.keep(server, { resumes: true });
  const seen: boolean[] = [];
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const own = await ca.tls('b');
  const client = clientOf(t, own);
  const peer = { peer: 'peer-a', instance: 'a1', addresses: [`127.0.0.1:${port}`] };
  const ask = () => client.has(peer, `sha256:${'0'.repeat(64)}` as Digest, NEVER);
  await ask();
  await ask();
  await ask();
  t.same(seen, [false, true, true]);
  tls.replace((await ca.tls('a')).material);
  await ask();
  await ask();
  own.replace((await ca.tls('b')).material);
  await ask();
  t.same(seen.slice(3), [false, true, false], 'of either side');
});

t.test(
  'certificates are replaced under load: no piece breaks, and the next connections have the new ones',
  async (t) => {
    const [before, after] = [TestCa.root(t, 'first CA'), TestCa.root(t, 'second CA')];
    const both = [before, after].map(({ cert }) => readFileSync(cert, 'utf8')).join('\n');
    const materialOf = async (ca: TestCa, bundle: string) => ({ ...(await ca.tls('x')).material, ca: bundle });
    const old = readFileSync(before.cert, 'utf8');
    const [serverTls, clientTls] = [
      new ClusterTls(await materialOf(before, old)),
      new ClusterTls(await materialOf(before, old)),
    ];
    const server = await startPieceServer(t, { tls: serverTls });
    const client = clientOf(t, clientTls);
    const { digest, bytes } = put(server);
    let whole = 0;
    const stop = new AbortController();
    const failures: unknown[] = [];
    const pull = async () => {
      while (!stop.signal.aborted) {
        try {
          const got = await fetchBlob(client, server, digest, bytes.length);
          if (!got.equals(bytes)) throw new Error('other bytes');
          whole += 1;
          // Every other piece comes by a fresh connection.
          if (whole % 2 === 0) client.closeIdle();
        } catch (error) {
          failures.push(error);
        }
      }
    };
    const pulling = Promise.all([pull(), pull(), pull()]);
    const step = async (change: () => Promise<void>) => {
      const from = whole;
      await change();
      await until(() => whole >= from + 6 || failures.length > 0);
    };
    await step(async () => undefined);
    // As a CA is rotated: first all trust both, then each has a certificate of the new one, then the old one goes.
    await step(async () => serverTls.replace(await materialOf(before, both)));
    await step(async () => clientTls.replace(await materialOf(before, both)));
    await step(async () => serverTls.replace(await materialOf(after, both)));
    await step(async () => clientTls.replace(await materialOf(after, both)));
    const fresh = readFileSync(after.cert, 'utf8');
    await step(async () => serverTls.replace(await materialOf(after, fresh)));
    await step(async () => clientTls.replace(await materialOf(after, fresh)));
    stop.abort();
    await pulling;
    t.same(failures, []);
    const left = clientOf(t, await before.tls('who was forgotten'));
    t.match(await fate(left, server), { code: 'PEER_TLS' }, 'the old CA opens nothing any more');
  },
);

t.test('a server that closes does not wait for handshakes', async (t) => {
  const ca = TestCa.root(t);
  const { server, url } = await startPieceServer(t, { tls: await ca.tls('a') });
  const silent = connectPlain(Number(new URL(url).port), '127.0.0.1');
  const halfway = connectPlain(Number(new URL(url).port), '127.0.0.1', () =>
    halfway.write(Buffer.from([0x16, 3, 1, 1, 0])),
  );
  const gone = [silent, halfway].map((socket) => {
    socket.on('error', () => undefined);
    return new Promise<void>((resolve) => socket.on('close', () => resolve()));
  });
  await Promise.all(
    [silent, halfway].map((socket) => new Promise<void>((resolve) => socket.once('connect', () => resolve()))),
  );
  await server.close();
  await Promise.all(gone);
  t.pass('all is closed');
});
