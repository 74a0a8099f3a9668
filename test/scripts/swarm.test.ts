import * as fc from 'fast-check';
import t from 'tap';
import { MiB } from '../../src/base/units.ts';
import { HEADER_FACTOR, lowerBound, type Shape } from '../../scripts/swarm/bound.ts';
import { sumOf } from '../../scripts/swarm/cluster.ts';
import { counter } from '../../scripts/netns/network.ts';
import { missing } from '../../scripts/swarm/needs.ts';
import { parseOptions, RIVALS } from '../../scripts/swarm/options.ts';
import { blobRequestsIn } from '../../scripts/netns/origin.ts';
import { shapingArgs } from '../../scripts/netns/shaping.ts';
import { figures, report, title, type Outcome } from '../../scripts/swarm/table.ts';

const shape: Shape = { nodes: 8, rate: 200e6, originRate: 200e6, size: 256 * MiB };

t.test('the lower bound', async (t) => {
  t.equal(lowerBound(shape).toFixed(3), '10.737');
  t.equal(lowerBound({ ...shape, originRate: 800e6 }).toFixed(3), '10.737', 'a node takes each byte by its own link');
  t.equal(lowerBound({ ...shape, originRate: 100e6 }).toFixed(3), '21.475', 'the origin sends each byte once');
  const nodes = fc.integer({ min: 1, max: 200 });
  const rate = fc.integer({ min: 1e6, max: 1e10 });
  fc.assert(
    fc.property(nodes, rate, rate, (nodes, rate, originRate) => {
      const bound = lowerBound({ nodes, rate, originRate, size: MiB });
      const bits = 8 * MiB;
      // All that is received was sent, by the origin or by a node.
      return (
        bound >= bits / rate &&
        bound >= bits / originRate &&
        bound * (originRate + nodes * rate) >= nodes * bits * 0.999
      );
    }),
  );
  t.equal(HEADER_FACTOR.toFixed(3), '1.046');
});

t.test('options', async (t) => {
  t.match(parseOptions([]), { nodes: 8, rate: 200e6, originRate: 200e6, size: 256 * MiB, runs: 1, staggerMs: 0 });
  t.match(parseOptions(['16', '--rate', '100', '--size', '64MiB', '--runs', '3', '--stagger', '5s', '--json']), {
    nodes: 16,
    rate: 100e6,
    originRate: 100e6,
    size: 64 * MiB,
    runs: 3,
    staggerMs: 5000,
    json: true,
    warmUp: 0,
    rival: undefined,
  });
  t.match(parseOptions(['--origin-rate', '2.5', '--warm-up', '8MiB']), {
    originRate: 2.5e6,
    rate: 200e6,
    warmUp: 8 * MiB,
  });
  for (const rival of RIVALS) t.equal(parseOptions(['--rival', rival]).rival, rival);
  const wrong = [
    ['0'],
    ['201'],
    ['4', '5'],
    ['many'],
    ['--rate', '0'],
    ['--rate', ''],
    ['--rate', 'fast'],
    ['--size', '5'],
    ['--size', '0'],
    ['--runs', '0'],
    ['--runs', '1.5'],
    ['--stagger', '5'],
    ['--rival', 'x'],
    ['--log-level', 'loud'],
    ['--bogus'],
  ];
  for (const args of wrong) t.throws(() => parseOptions(args), args.join(' '));
});

t.test('a token bucket of 10 ms, and no less than the kernel hands down at once', async (t) => {
  t.equal(
    shapingArgs('eth0', 200e6).join(' '),
    'qdisc add dev eth0 root tbf rate 200000000bit burst 250000 latency 30ms',
  );
  t.match(shapingArgs('eth0', 10e6).join(' '), 'burst 131072');
});

t.test('it says what is missing, and what to do', async (t) => {
  const path = process.env['PATH'];
  t.teardown(() => (process.env['PATH'] = path));
  process.env['PATH'] = '/nonexistent';
  const reasons = missing({ ...parseOptions(['200', '--size', '100TiB']) }).join('\n');
  t.match(reasons, /docker-registry.*apt-get install .*docker-registry/);
  if (process.platform === 'linux') t.match(reasons, /the stores are in memory/);
});

t.test('metrics', async (t) => {
  const text = [
    '# HELP a_total Bytes',
    'a_total{upstream="x"} 5',
    'a_total{upstream="y"} 1e3',
    'a_total_more 7',
    'b_total{direction="in"} 3',
    'b_total{direction="out"} 4',
    'c 9',
  ].join('\n');
  t.equal(sumOf(text, 'a_total'), 1005);
  t.equal(sumOf(text, 'b_total', 'direction="in"'), 3);
  t.equal(sumOf(text, 'c'), 9);
  t.equal(sumOf(text, 'd'), 0);
});

t.test("the kernel's counters", async (t) => {
  const text = 'Tcp: InSegs RetransSegs\nTcp: 10 7\nTcpExt: SyncookiesSent TCPRetransFail\nTcpExt: 0 3\n';
  t.equal(counter(text, 'Tcp', 'RetransSegs'), 7);
  t.equal(counter(text, 'TcpExt', 'TCPRetransFail'), 3);
  t.equal(counter(text, 'TcpExt', 'NoSuch'), 0);
  t.equal(counter('', 'Tcp', 'RetransSegs'), 0);
});

t.test("requests in the registry's log", async (t) => {
  const entry = (uri: string, more: object) =>
    JSON.stringify({ 'http.request.method': 'GET', 'http.request.uri': uri, ...more });
  const done = { 'http.response.status': 206, 'http.response.written': 1000 };
  const log = [
    'level=warning msg="no secret"',
    entry('/v2/library/app/blobs/sha256:ab', done),
    entry('/v2/library/app/blobs/sha256:cd', done),
    entry('/v2/library/app/manifests/sha256:ab', done),
    entry('/v2/library/app/blobs/sha256:ab', { msg: 'authorized' }),
    '',
  ].join('\n');
  t.same(blobRequestsIn(log, 'sha256:ab'), [{ method: 'GET', status: 206, written: 1000 }]);
});

t.test('figures and their table', async (t) => {
  const node = (name: string, seconds: number, origin: number, failure?: string) => ({
    name,
    seconds,
    firstByteSeconds: 0.1,
    failure,
    bytes: { origin, peers: shape.size - origin },
  });
  const outcome: Outcome = {
    nodes: [node('n1', 10.737, 0.5 * shape.size), node('n2', 21.475, 0.51 * shape.size, 'curl ended with 18')],
    originSent: { bytes: 1.02 * shape.size, payload: 1.015 * shape.size, segmentsAgain: 30 },
    originRequests: 12,
    originWrote: 1.1 * shape.size,
    seconds: 21.5,
    busy: 0.5,
    cpu: { proxies: 3.21, origin: 0.4 },
  };
  const { boundSeconds, p50, p99, max, copiesSent, copiesPayload, copiesCounted } = figures(shape, outcome);
  t.match(
    { p50: 1, p99: 2, max: 2, copiesSent: 1.02, copiesPayload: 1.015, copiesCounted: 1.01 },
    {
      p50: Number(p50.toFixed(3)),
      p99: Number(p99.toFixed(3)),
      max: Number(max.toFixed(3)),
      copiesSent,
      copiesPayload,
      copiesCounted: Number(copiesCounted!.toFixed(3)),
    },
  );
  t.equal(boundSeconds, lowerBound(shape));
  const text = report(shape, outcome);
  t.match(text, /^n1 +10\.74 +0\.100 +134\.2 +134\.2$/m);
  t.match(text, /^n2 .*FAILED: curl ended with 18$/m);
  t.match(text, 'p50 1.000, p99 2.000, max 2.000');
  t.match(text, '1.0200 left by its link, 1.0150 without headers');
  t.match(text, '12 GETs');
  t.match(text, 'proxies 3.2, origin 0.4');
  t.match(
    title(shape, 'hawker'),
    '8 x 200 Mbit/s, origin 200 Mbit/s, 256 MiB; lower bound 10.74 s (with headers 11.23 s)',
  );
  const bare = { ...outcome, nodes: outcome.nodes.map((one) => ({ ...one, bytes: undefined })) };
  t.equal(figures(shape, bare).copiesCounted, undefined);
  t.match(report(shape, bare), /^n1 .* - +-$/m);
});
