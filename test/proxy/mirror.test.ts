import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import t from 'tap';
import { silentLogger } from '../../src/base/log.ts';
import { systemClock } from '../../src/base/clock.ts';
import { Metrics } from '../../src/base/metrics.ts';
import { MiB } from '../../src/base/units.ts';
import { BufferPool } from '../../src/http/buffer-pool.ts';
import { AccessRules } from '../../src/proxy/access-rules.ts';
import { createMirror } from '../../src/proxy/mirror.ts';
import { Refs } from '../../src/store/refs.ts';
import { makeImage, randomBytes, testBlob } from '../support/hostile-registry.ts';
import { REGISTRY, Rig, PLENTY } from './rig.ts';

const NS = `?ns=${REGISTRY}`;
const BLOB = testBlob(randomBytes('mirror', 3 * MiB));

t.test('a whole image, as clients pull it, by all ways to name the registry', async (t) => {
  const rig = await Rig.start(t);
  const image = makeImage({ seed: 11, layers: [3 * MiB, 70_000, 10] });
  rig.origin.addImage('org/app', 'v1', image);
  const ways: { path: (rest: string) => string; port: number }[] = [
    { path: (rest) => `/v2/org/app/${rest}${NS}`, port: rig.port },
    { path: (rest) => `/v2/${REGISTRY}/org/app/${rest}`, port: rig.port },
    { path: (rest) => `/${REGISTRY}/v2/org/app/${rest}`, port: rig.port },
    { path: (rest) => `/v2/org/app/${rest}`, port: rig.boundPort },
  ];
  for (const { path, port } of ways) {
    t.ok((await rig.ask(path('manifests/v1'), { port })).body.equals(image.index.bytes), path(''));
    for (const manifest of image.manifests) {
      t.ok((await rig.ask(path(`manifests/${manifest.digest}`), { port })).body.equals(manifest.bytes));
    }
    const blobs = await Promise.all(image.blobs.map(({ digest }) => rig.ask(path(`blobs/${digest}`), { port })));
    t.ok(blobs.every(({ body }, i) => body.equals(image.blobs[i]!.bytes)));
  }
  t.equal(
    rig.origin.blobBytes(),
    image.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0),
    'I3: read once',
  );
  t.equal(rig.origin.of('manifest', 'GET').length, 3);
});

t.test('closing lets responses end, and takes no new connections', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addBlob('org/app', BLOB);
  rig.origin.faults.bytesPerSecond = 8 * MiB;
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  const path = `/v2/org/app/blobs/${BLOB.digest}${NS}`;
  const [response] = (await once(httpRequest({ port: rig.port, path, agent }).end(), 'response')) as [IncomingMessage];
  let received = 0;
  response.on('data', (chunk: Buffer) => (received += chunk.length));
  const closed = rig.close(20_000);
  await t.rejects(rig.ask('/v2/'), { code: 'ECONNREFUSED' });
  await once(response, 'end');
  t.equal(received, BLOB.bytes.length);
  await closed;
});

t.test('closing cuts off what takes too long', async (t) => {
  const rig = await Rig.start(t);
  rig.origin.addBlob('org/app', BLOB);
  rig.origin.faults.stall = { bytes: 2 * MiB, times: Infinity };
  const response = await rig.open(`/v2/org/app/blobs/${BLOB.digest}${NS}`);
  response.resume();
  const ended = once(response, 'close').catch(() => undefined);
  await rig.close(50);
  await ended;
  t.equal(response.complete, false);
});

t.test('a port in use is said, and nothing is left listening', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  t.teardown(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const free = createServer().listen(0, '127.0.0.1');
  await once(free, 'listening');
  const { port: first } = free.address() as AddressInfo;
  await new Promise((resolve) => free.close(resolve));
  const refs = await Refs.open({ dir: t.testdir(), log: silentLogger, clock: systemClock });
  const mirror = createMirror({
    settings: {
      listen: { host: '127.0.0.1', port: first },
      login: false,
      listeners: [{ listen: { host: '127.0.0.1', port }, upstream: 'ghcr.io', login: false, tls: true }],
      defaultUpstream: 'docker.io',
      staleTagsMs: 0,
    },
    rules: new AccessRules([]),
    upstreams: { find: () => undefined },
    downloads: {
      open: () => Promise.reject(new Error('not asked')),
      sizeOf: () => undefined,
      sizeFor: () => undefined,
      settled: async () => undefined,
      abandon: () => undefined,
    },
    refs,
    room: PLENTY,
    pool: new BufferPool(),
    log: silentLogger,
    metrics: new Metrics(),
    clock: systemClock,
  });
  await t.rejects(mirror.listen(), { code: 'EADDRINUSE' });
  await t.rejects(once(connect(first, '127.0.0.1'), 'connect'), { code: 'ECONNREFUSED' });
});
