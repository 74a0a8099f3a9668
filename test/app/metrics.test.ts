import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Agent, request } from 'undici';
import { startProxyService } from '../../src/app/proxy-service.ts';
import type { Service } from '../../src/app/service.ts';
import { startUp } from '../../src/app/up.ts';
import { silentLogger } from '../../src/base/log.ts';
import { MANIFEST_ACCEPT } from '../../src/registry/media-types.ts';
import { eventually, json, nodeConfig, peersReady, urlOf } from '../support/cluster.ts';
import { HostileRegistry, makeImage } from '../support/hostile-registry.ts';
import { madeMetrics, repositoryFile, samplesOf, sumOf, type Sample } from '../support/metrics-page.ts';
import { TestCa } from '../support/test-ca.ts';

const REPO = 'demo/app';
/** Where the cluster has TLS. */
const CERTIFICATE = 'hawker_certificate_expiry_timestamp_seconds';
const image = makeImage({ seed: 11, layers: [3_000_000, 40_000, 1_200_000] });

async function metricsAt(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

/** The metrics that a text describes. */
function describedIn(text: string): string[] {
  return [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name!).toSorted();
}

/** The metrics of a section of docs/metrics.md. */
function section(heading: string): string[] {
  const text = new RegExp(`\n## ${heading}\n([^]*?)\n## `).exec(repositoryFile('docs/metrics.md'))![1]!;
  return [...text.matchAll(/^\| `(hawker_\w+)`/gm)].map(([, name]) => name!);
}

/** Everything of the image, as a client with no store of its own asks for it; the body bytes. */
async function pull(node: Service): Promise<number> {
  const base = `${urlOf(node, 'mirror')}/v2/${REPO}`;
  let bytes = 0;
  const get = async (path: string) => {
    const answer = await fetch(`${base}/${path}`, { headers: { accept: MANIFEST_ACCEPT } });
    if (answer.status !== 200) throw new Error(`${path}: ${answer.status}`);
    bytes += (await answer.arrayBuffer()).byteLength;
  };
  await get('manifests/v1');
  for (const { digest } of image.manifests) await get(`manifests/${digest}`);
  for (const { digest } of image.blobs) await get(`blobs/${digest}`);
  return bytes;
}

t.test('each role shows itself, and what it counts is what has gone over the wire', async (t) => {
  const origin = await HostileRegistry.start();
  t.teardown(() => origin.close());
  origin.addImage(REPO, 'v1', image);
  const dir = t.testdir({});
  const up = await startUp(nodeConfig({ dir: `${dir}/up`, origin: origin.url }), { log: silentLogger });
  t.teardown(() => up.stop());
  const supernode = urlOf(up, 'supernode');
  const config = nodeConfig({ dir: `${dir}/proxy`, origin: origin.url, supernodes: [supernode] });
  const proxy = await startProxyService(config, { log: silentLogger });
  t.teardown(() => proxy.stop());
  await peersReady(supernode, 2);

  const both = section('Both roles').filter((name) => name !== CERTIFICATE);
  t.same(describedIn(await metricsAt(supernode)), [...both, ...section('Supernode')].toSorted());
  for (const node of [up, proxy]) {
    const described = describedIn(await metricsAt(urlOf(node, 'api')));
    t.same(described, [...both, ...section('Proxy')].toSorted());
  }

  const samples = async (node: Service) => samplesOf(await metricsAt(urlOf(node, 'api')));
  const first = await pull(up);
  const again = await pull(up);
  const blobs = async () =>
    (await json<{ blobs: { holders: string[] }[] }>(`${supernode}/api/v1/blobs`)).blobs.filter(
      ({ holders }) => holders.length > 0,
    ).length;
  await eventually('what the first holds is known', async () => {
    return (await blobs()) >= image.blobs.length + image.manifests.length;
  });
  const second = await pull(proxy);
  const list = await (await fetch(`${urlOf(proxy, 'mirror')}/v2/${REPO}/tags/list`)).text();

  const [a, b] = [await samples(up), await samples(proxy)];
  const clients = (of: readonly Sample[], source: string) => sumOf(of, 'hawker_client_bytes_total', { source });
  t.equal(clients(a, 'origin'), first, 'cold');
  t.equal(clients(a, 'store'), again, 'warm');
  t.equal(clients(b, 'origin') + clients(b, 'peers') + clients(b, 'store'), second + list.length);
  t.ok(clients(b, 'peers') > 4_000_000, 'from the other node');
  const sent = origin.requests
    .filter(({ method, status, path }) => method === 'GET' && status === 200 && path !== '/v2/')
    .reduce((sum, { bodyBytes }) => sum + bodyBytes, 0);
  const counted = [...a, ...b];
  t.equal(sumOf(counted, 'hawker_origin_bytes_total', { upstream: 'demo.test' }), sent);
  const asked = (method: string) => origin.requests.filter((request) => request.method === method).length;
  for (const method of ['GET', 'HEAD']) {
    t.equal(sumOf(counted, 'hawker_origin_requests_total', { method }), asked(method), method);
  }
  const received = sumOf(b, 'hawker_peer_bytes_total', { direction: 'in' });
  t.equal(received, sumOf(a, 'hawker_peer_bytes_total', { direction: 'out' }));
  t.ok(received >= clients(b, 'peers'));
  t.equal(sumOf(counted, 'hawker_http_requests_total', { handler: 'passthrough', status: '200' }), 1);
  const requests = 1 + image.manifests.length + image.blobs.length;
  t.equal(sumOf(a, 'hawker_time_to_first_byte_seconds_count'), 2 * requests);
  t.ok(sumOf(b, 'hawker_piece_duration_seconds_count', { source: 'peers' }) >= 5);
  const status = await json<{ peer: string | { id: string }; store: { bytes: number } }>(
    `${urlOf(up, 'api')}/api/v1/status`,
  );
  t.equal(sumOf(a, 'hawker_store_bytes'), status.store.bytes);
  t.equal(sumOf(a, 'hawker_supernode_connected', { url: supernode }), 1);
  t.equal(sumOf(a, 'hawker_bad_pieces_total'), 0);

  const roster = samplesOf(await metricsAt(supernode));
  t.equal(sumOf(roster, 'hawker_peers', { state: 'ready' }), 2);
  const { peers } = await json<{ peers: { id: string; instance: string; host: string }[] }>(
    `${supernode}/api/v1/peers`,
  );
  const names = peers.flatMap(({ id, instance }) => [id, instance]);
  const digests = [image.index, ...image.manifests, ...image.blobs].map(({ digest }) => digest);
  const known = new Map(madeMetrics().map((metric) => [metric.name, metric]));
  const text = JSON.stringify([...counted, ...roster]);
  t.same(
    [...names, ...digests, ...digests.map((digest) => digest.split(':')[1]!), REPO].filter((it) => text.includes(it)),
    [],
    'no label holds a digest, a peer or a repository',
  );
  for (const { name, labels } of [...counted, ...roster]) {
    const metric = known.get(name) ?? known.get(name.replace(/_(?:bucket|count|sum)$/, ''));
    const given = Object.keys(labels).filter((label) => label !== 'le' || metric?.type !== 'histogram');
    if (given.toSorted().join() !== metric?.labels.toSorted().join()) t.fail(`${name} has the labels ${given.join()}`);
  }
});

t.test('with TLS, when the certificate ends', async (t) => {
  const dir = t.testdir({});
  const files = TestCa.root(t).issue('node');
  const config = nodeConfig({ dir, origin: 'http://127.0.0.1:1', supernodes: ['https://127.0.0.1:0'] });
  const up = await startUp({ ...config, cluster: { ...config.cluster, tls: files } }, { log: silentLogger });
  t.teardown(() => up.stop());
  const end = Date.parse(new X509Certificate(readFileSync(files.cert)).validTo) / 1000;
  t.equal(sumOf(samplesOf(await metricsAt(urlOf(up, 'api'))), CERTIFICATE), end, 'the proxy');
  const dispatcher = new Agent({ connect: { ca: readFileSync(files.ca) } });
  t.teardown(() => dispatcher.close());
  const { port } = up.addresses.find(({ role }) => role === 'supernode')!;
  const answer = await request(`https://127.0.0.1:${port}/metrics`, { dispatcher });
  t.equal(sumOf(samplesOf(await answer.body.text()), CERTIFICATE), end, 'the supernode');
});
