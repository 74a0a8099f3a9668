import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { startProxyService } from '../../src/app/proxy-service.ts';
import { silentLogger } from '../../src/base/log.ts';
import type { Signal } from '../../src/cli/process-port.ts';
import { ownPlatform } from '../../src/cli/pull.ts';
import { runCommand } from '../support/cli.ts';
import { eventually, nodeConfig, startCluster, urlOf, REGISTRY } from '../support/cluster.ts';
import { HostileRegistry, makeImage, type TestBlob, type TestImage } from '../support/hostile-registry.ts';

const MiB = 1024 * 1024;

interface PullAnswer {
  digest: string;
  manifests: { digest: string; platform?: string }[];
  blobs: { digest: string; size: number; source: string; mediaType: string; ms: number }[];
  bytes: number;
  sources: Record<string, number>;
  ms: number;
}

async function scene(t: Test): Promise<{ origin: HostileRegistry; image: TestImage }> {
  const origin = await HostileRegistry.start();
  t.teardown(() => origin.close());
  const image = makeImage({ seed: 7, layers: [3 * MiB, 300_000, 5000] });
  origin.addImage('org/app', 'v1', image);
  return { origin, image };
}

const addressOf = (url: string): string => url.replace('http://', '');

t.test('fetches an image for one platform into the store, and says where it came from', async (t) => {
  const { origin, image } = await scene(t);
  const { proxies } = await startCluster(t, { origin: origin.url, nodes: 2 });
  const [one, other] = proxies.map((proxy) => addressOf(urlOf(proxy, 'mirror'))) as [string, string];
  const pull = (mirror: string, ...args: string[]) =>
    runCommand(['pull', `${REGISTRY}/org/app:v1`, '--proxy-listen', mirror, ...args]);
  const json = async (mirror: string, ...args: string[]): Promise<PullAnswer> => {
    const { status, out, err } = await pull(mirror, '--json', ...args);
    t.match({ status, err }, { status: 0, err: '' });
    return JSON.parse(out) as PullAnswer;
  };
  const amd64 = await json(one, '--platform', 'linux/amd64');
  t.equal(amd64.digest, image.index.digest);
  t.match(amd64.manifests, [
    { digest: image.index.digest },
    { digest: image.manifests[0]!.digest, platform: 'linux/amd64' },
  ]);
  t.same(
    amd64.blobs.map(({ digest }) => digest).slice(1),
    image.layers.map(({ digest }) => digest),
    'the config, and the layers in order',
  );
  t.ok(amd64.blobs.every(({ source }) => source === 'origin'));
  const gets = origin.of('blob', 'GET').length;
  // The last byte goes to the client before the blob is in the store.
  const kept = (...args: string[]) =>
    eventually('all of it is in the store', async () =>
      (await json(one, ...args)).blobs.every(({ source }) => source === 'store'),
    );
  await kept('--platform', 'linux/amd64');
  const warm = await json(one, '--platform', 'linux/amd64');
  t.same(warm.sources, { store: amd64.sources['origin'], peers: 0, origin: 0, mixed: 0 });
  t.match(
    await json(other, '--platform', 'linux/amd64'),
    { sources: { origin: 0 } },
    'the other node has it from the first',
  );
  t.equal(origin.of('blob', 'GET').length, gets, 'nothing more came from the registry');
  const all = await json(one, '--all-platforms');
  t.equal(all.manifests.length, 3);
  t.equal(all.blobs.length, image.blobs.length);
  await kept('--all-platforms');
  const text = await pull(one, '--platform', 'linux/arm64');
  t.match(text, { status: 0, err: '' });
  t.match(text.out, /^BLOB +SIZE +SECONDS +FROM\nsha256:[0-9a-f]{12} .*store\n/);
  t.match(
    text.out,
    new RegExp(`${REGISTRY}/org/app:v1@${image.index.digest}\n2 manifests, 3 blobs, .* from the store\n$`),
  );
  t.notMatch(text.out, /\u001B/);
  t.match(await pull(one, '--platform', 'linux/s390x'), {
    status: 1,
    err: /NO_SUCH_PLATFORM: .*linux\/amd64, linux\/arm64/,
  });
  const byDigest = `${REGISTRY}/org/app@${image.manifests[1]!.digest}`;
  t.match(await runCommand(['pull', byDigest, '--proxy-listen', one]), { status: 0 }, 'by digest');
});

t.test('what goes wrong is one line', async (t) => {
  const { origin } = await scene(t);
  const { proxies } = await startCluster(t, { origin: origin.url, nodes: 1 });
  const mirror = addressOf(urlOf(proxies[0]!, 'mirror'));
  const fails = async (image: string, ...args: string[]) => {
    const result = await runCommand(['pull', image, '--proxy-listen', mirror, ...args]);
    t.match(result, { out: '', err: /^hawker: [^\n]+\n$/ });
    return result;
  };
  t.match(await fails(`${REGISTRY}/org/none`), { status: 1, err: /PULL_FAILED: manifest latest/ });
  t.match(await fails('elsewhere.example/x'), { status: 1, err: /PULL_FAILED/ });
  t.match(await fails('Not An Image'), { status: 2, err: /USAGE/ });
  t.match(await fails(`${REGISTRY}/org/app:v1`, '--platform', 'arm64'), { status: 2 });
  t.match(await fails(`${REGISTRY}/org/app:v1`, '--platform', 'a/b', '--all-platforms'), { status: 2 });
  await proxies[0]!.stop();
  t.match(await fails(`${REGISTRY}/org/app:v1`), { status: 1, err: /SERVICE_UNREACHABLE: the proxy/ });
});

t.test('does not believe the mirror: each digest is checked', async (t) => {
  const image = makeImage({ seed: 8, layers: [1000] });
  const wrong = { manifest: false, blob: false };
  const find = (path: string): TestBlob | undefined =>
    [image.index, ...image.manifests, ...image.blobs].find(({ digest }) => path.includes(digest));
  const server = createServer(({ url = '' }, response) => {
    const blob = find(url) ?? image.index;
    const isWrong = url.includes('/blobs/') ? wrong.blob : wrong.manifest;
    const bytes = Buffer.from(blob.bytes);
    if (isWrong) bytes[bytes.length - 2]! ^= 1;
    response.writeHead(200, { 'content-type': blob.mediaType, 'docker-content-digest': blob.digest }).end(bytes);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => server.close());
  const mirror = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const pull = () => runCommand(['pull', 'x.example/a:v1', '--platform', 'linux/amd64', '--proxy-listen', mirror]);
  t.match(await pull(), { status: 0 });
  wrong.blob = true;
  t.match(await pull(), { status: 1, err: /PULL_FAILED: blob sha256:.*have the digest/ });
  wrong.manifest = true;
  t.match(await pull(), { status: 1, err: /PULL_FAILED: manifest v1.*have the digest/ });
});

t.test('Ctrl-C ends it', async (t) => {
  // Answers nothing.
  const server = createServer(() => {});
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const asked = new Promise((resolve) => server.once('request', resolve));
  const mirror = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const listeners = new Map<Signal, () => void>();
  const onSignal = (signal: Signal, listener: () => void): void => void listeners.set(signal, listener);
  const ended = runCommand(['pull', 'x.example/a', '--proxy-listen', mirror], { onSignal });
  await asked;
  listeners.get('SIGINT')!();
  t.match(await ended, { status: 1, out: '', err: /^hawker: INTERRUPTED: / });
});

t.test('on a terminal there is a bar for each blob', async (t) => {
  const { origin } = await scene(t);
  const dir = t.testdir({});
  const proxy = await startProxyService(nodeConfig({ dir, origin: origin.url, supernodes: [] }), { log: silentLogger });
  t.teardown(() => proxy.stop());
  const mirror = addressOf(urlOf(proxy, 'mirror'));
  // Slow enough to be seen on its way: in this process the bars' timer runs between two slices of the registry.
  origin.faults.bytesPerSecond = 2 * MiB;
  const { status, out } = await runCommand(
    ['pull', `${REGISTRY}/org/app:v1`, '--platform', 'linux/amd64', '--proxy-listen', mirror],
    { isTerminal: true, columns: () => 100, environment: { LANG: 'C.UTF-8' } },
  );
  t.equal(status, 0);
  t.match(out, /sha256:[0-9a-f]{12} {2}.*%.* of 3 MiB/);
});

t.test('the platform of this machine, as images name it', async (t) => {
  t.equal(ownPlatform('x64'), 'linux/amd64');
  t.equal(ownPlatform('arm64'), 'linux/arm64');
  t.equal(ownPlatform('s390x'), 'linux/s390x');
});
