/**
 * A real Prometheus over a real cluster: what clients received, the registry sent and peers gave each other is what the metrics say;
 * every expression of the Grafana dashboard and of the alert rules means something; and an alert fires.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { dashboardExpressions } from '../support/metrics-page.ts';
import { ORIGIN_PROGRAMS } from './support/clients/all.ts';
import type { Hawker } from './support/hawker.ts';
import { publishImage, type Published } from './support/images.ts';
import { Origin } from './support/origin.ts';
import { must, run } from './support/programs.ts';
import { ALERTS, Prometheus } from './support/prometheus.ts';
import { Relay } from './support/relay.ts';
import { e2e, type Rig } from './support/rig.ts';
import { Swarm } from './support/swarm.ts';
import { until } from './support/wait.ts';

const MiB = 1024 * 1024;
const KNOWN_BOUND_MS = 20_000;
const MANIFEST_TYPE = 'Accept: application/vnd.docker.distribution.manifest.v2+json';

/** Panels that show nothing in a cluster that is well, and without TLS. */
const EMPTY_WHERE_ALL_IS_WELL = new Set([
  'Certificates, time left',
  'Registration failures by code',
  'Requests to registries that fail',
  'Reports that supernodes refuse, faults, audit lines lost',
]);

/** Pulls an image by curl; the body bytes that it received, by its own count. */
async function pull(rig: Rig, proxy: Hawker, { repository, tag, native }: Published): Promise<number> {
  const get = async (path: string) => {
    const url = `${proxy.url}/v2/${repository}/${path}`;
    const args = ['--silent', '--show-error', '--fail', '--header', MANIFEST_TYPE, '--output', join(rig.dir, 'body')];
    return Number(await must('curl', [...args, '--write-out', '%{size_download}', url]));
  };
  let bytes = await get(`manifests/${tag}`);
  for (const digest of native.blobs.keys()) bytes += await get(`blobs/${digest}`);
  return bytes;
}

e2e(t, 'promtool takes the alert rules, and their own tests pass', ['promtool'], async (t) => {
  const check = await run('promtool', ['check', 'rules', ALERTS]);
  t.equal(check.code, 0, check.stdout + check.stderr);
  const text = await readFile(ALERTS, 'utf8');
  t.match(check.stdout, `${[...text.matchAll(/- alert: /g)].length} rules found`);
  const tests = await run('promtool', ['test', 'rules', join(dirname(ALERTS), 'hawker-alerts.test.yaml')]);
  t.equal(tests.code, 0, tests.stdout + tests.stderr);
  const config = await run('promtool', ['check', 'config', join(dirname(ALERTS), 'prometheus.yaml')]);
  t.equal(config.code, 0, config.stdout + config.stderr);
});

e2e(
  t,
  'Prometheus over a supernode and two proxies',
  [...ORIGIN_PROGRAMS, 'curl', 'prometheus', 'promtool'],
  async (t, rig) => {
    const origin = await Origin.start(rig);
    const relay = await Relay.start(origin.url);
    rig.onClose(() => relay.close());
    relay.headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' };
    const swarm = await Swarm.start(rig, relay.url);
    const [a, b] = [await swarm.join('node-a'), await swarm.join('node-b')];
    const supernode = new URL(swarm.url).host;
    const prometheus = await Prometheus.start(rig, [supernode, a.api, b.api]);
    await until('all three are scraped', KNOWN_BOUND_MS, async () => (await prometheus.number('sum(up)')) === 3);
    t.equal(await prometheus.number('hawker_peers{state="ready"}'), 2);

    const image = await publishImage(rig, origin);
    relay.exchanges.length = 0;
    const cold = await pull(rig, a, image);
    const warm = await pull(rig, a, image);
    await swarm.held('what the first node holds is known', [...image.native.blobs.keys(), image.digest], 1);
    const near = await pull(rig, b, image);
    t.ok(cold > 29 * MiB && warm === cold && near === cold, `${cold} bytes each time`);
    await until('it has seen all that clients received', KNOWN_BOUND_MS, async () => {
      return (await prometheus.number('sum(hawker_client_bytes_total)')) === cold + warm + near;
    });
    await checkSums(t, prometheus, { a, b, relay, cold, warm, near });

    for (const endpoint of [supernode, a.api, b.api]) {
      const text = await must('curl', ['--silent', '--show-error', '--fail', `http://${endpoint}/metrics`]);
      const lint = await run('sh', ['-c', 'printf %s "$1" | promtool check metrics', 'lint', `${text.trimEnd()}\n`]);
      t.equal(lint.code, 0, `promtool has nothing against the metrics of ${endpoint}: ${lint.stdout}${lint.stderr}`);
    }
    await checkDashboard(t, prometheus);

    const rules = await until('the rules were evaluated', KNOWN_BOUND_MS, async () => {
      const rules = await prometheus.rules();
      return rules.length > 0 && rules.every(({ health }) => health !== 'unknown') && rules;
    });
    t.same(
      rules.filter(({ health, state }) => health !== 'ok' || state !== 'inactive'),
      [],
      'all is well, and no rule says otherwise',
    );

    await swarm.killSupernode();
    await until('with the supernode gone, those alerts begin', KNOWN_BOUND_MS, async () => {
      const rules = (await prometheus.rules()).filter(({ state }) => state !== 'inactive');
      const begun = new Set(rules.map(({ name }) => name));
      return begun.has('HawkerNotScraped') && begun.has('HawkerSupernodeNotConnected');
    });
  },
);

interface Traffic {
  readonly a: Hawker;
  readonly b: Hawker;
  readonly relay: Relay;
  readonly cold: number;
  readonly warm: number;
  readonly near: number;
}

/** What was measured by curl and at the registry, against what Prometheus has. */
async function checkSums(t: Test, prometheus: Prometheus, { a, b, relay, cold, warm, near }: Traffic): Promise<void> {
  const sum = (metric: string, node: Hawker, labels = '') =>
    prometheus.number(`sum(${metric}{instance="${node.api}"${labels}})`);
  t.equal(await sum('hawker_client_bytes_total', a, ',source="origin"'), cold, 'the first pull, from the registry');
  t.equal(await sum('hawker_client_bytes_total', a, ',source="store"'), warm, 'the second, from the store');
  const fromPeers = (await sum('hawker_client_bytes_total', b, ',source="peers"'))!;
  t.equal(await sum('hawker_client_bytes_total', b), near, 'the third');
  // On a machine so busy that the supernode says nothing for a while, a node reads a small thing for itself.
  t.ok(fromPeers > near - MiB, `${fromPeers} bytes of it from the other node`);

  const bodies = relay.gets('').filter(({ path }) => path !== '/v2/');
  const sent = bodies.reduce((total, { bytes }) => total + bytes, 0);
  t.equal(await prometheus.number('sum(hawker_origin_bytes_total)'), sent, 'what the registry sent');
  t.ok(sent >= cold && sent < cold + MiB, `one copy: ${sent} bytes`);
  for (const method of ['GET', 'HEAD']) {
    const asked = relay.exchanges.filter((exchange) => exchange.method === method).length;
    t.equal(await prometheus.number(`sum(hawker_origin_requests_total{method="${method}"})`), asked, `${method}s`);
  }
  const received = (await sum('hawker_peer_bytes_total', b, ',direction="in"'))!;
  t.ok(received >= fromPeers, 'pieces that came');
  // The other node may have been scraped before the last of them.
  await until('are those that went', KNOWN_BOUND_MS, async () => {
    return (await sum('hawker_peer_bytes_total', a, ',direction="out"')) === received;
  });
  const ratio = 'sum(hawker_origin_bytes_total) / sum(hawker_client_bytes_total)';
  t.equal(await prometheus.number(ratio), sent / (cold + warm + near));
  t.equal(await prometheus.number('min(hawker_origin_ratelimit_remaining{upstream="docker.io"})'), 76);
  t.equal(await prometheus.number('sum(hawker_supernode_connected)'), 2);
}

/** Every expression is taken, and gives something where there is something to show. */
async function checkDashboard(t: Test, prometheus: Prometheus): Promise<void> {
  for (const { title, expr } of dashboardExpressions()) {
    const isEmpty = EMPTY_WHERE_ALL_IS_WELL.has(title);
    // A rate has to have seen two scrapes.
    const samples = await until(`${title}: ${expr}`, KNOWN_BOUND_MS, async () => {
      const found = await prometheus.query(expr);
      return (isEmpty || found.length > 0) && found;
    });
    t.pass(`${title}: ${samples.length} series`);
  }
}
