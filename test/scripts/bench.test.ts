import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as fc from 'fast-check';
import t from 'tap';
import { CASES } from '../../scripts/bench/cases.ts';
import { HttpExchange } from '../../scripts/bench/http-exchange.ts';
import { load } from '../../scripts/bench/load.ts';
import { judge, type Mark } from '../../scripts/bench/marks.ts';
import { interleaved, median, medians, OURS, percentiles, short } from '../../scripts/bench/measure.ts';
import { parseOptions } from '../../scripts/bench/options.ts';
import { endedChildrenSeconds, peakMiB, treeOf, treeSeconds } from '../../scripts/bench/processes.ts';
import { RegistryData } from '../../scripts/bench/registry-data.ts';
import { delayed } from '../../scripts/bench/relay.ts';
import { table } from '../../scripts/bench/table.ts';
import { infoHash } from '../../scripts/swarm/bittorrent.ts';
import { PATIENCE_MS } from '../support/patience.ts';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { spawn } from 'node:child_process';

const isLinux = process.platform === 'linux';

t.test('medians and percentiles', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 2, 3]), 2.5);
  t.ok(Number.isNaN(median([])));
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 1 }), (values) => {
      const middle = median(values);
      const below = values.filter((value) => value <= middle).length;
      const above = values.filter((value) => value >= middle).length;
      return below * 2 >= values.length && above * 2 >= values.length;
    }),
  );
  t.same(medians([{ a: 1, b: 5 }, { a: 3 }, { a: 2 }]), { a: 2, b: 5 }, 'each figure over the runs that have it');
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  const { p50, p95, p99 } = percentiles(hundred);
  t.ok(Math.abs(p50 - 50) <= 1 && Math.abs(p95 - 95) <= 1 && Math.abs(p99 - 99) <= 1, `${p50} ${p95} ${p99}`);
  t.same([1234.5, 12.34, 1.234, 0.01234, 5].map(short), ['1235', '12.3', '1.23', '0.012', '5']);
});

t.test('contenders take turns, and each round begins with the next', async (t) => {
  const order: string[] = [];
  const contender = (name: string) => ({
    name,
    once: async () => {
      order.push(name);
      return { n: order.length };
    },
  });
  const runs = await interleaved(['a', 'b', 'c'].map(contender), 3, () => {});
  t.equal(order.join(''), 'abcbcacab');
  t.same(runs['a'], [{ n: 1 }, { n: 6 }, { n: 8 }]);
});

t.test('marks', async (t) => {
  const runs = {
    [OURS]: [{ rate: 90, cpu: 1 }],
    fast: [{ rate: 100, cpu: 2 }],
    slow: [{ rate: 50, cpu: 0.5 }],
    other: [{ ms: 1 }],
  };
  const against = ['fast', 'slow'];
  const judged = (mark: Mark) => judge('case', [mark], runs)[0]!;
  const rate = { figure: 'rate', as: 'ratio', rule: 'at least', against } as const;
  t.match(judged({ ...rate, bound: 0.9 }), { against: 'fast', judged: 0.9, met: true, mark: '≥ 0.9 ×' });
  t.match(judged({ ...rate, bound: 0.91 }), { met: false });
  t.match(judged({ ...rate, bound: 1, against: ['slow'] }), { judged: 1.8, met: true });
  const cpu = { figure: 'cpu', as: 'ratio', rule: 'at most', bound: 1, against } as const;
  t.match(judged(cpu), { against: 'slow', judged: 2, met: false }, 'the least is the best');
  t.match(judged({ ...cpu, best: { figure: 'rate', more: true } }), { against: 'fast', judged: 0.5, met: true });
  t.match(judged({ figure: 'rate', as: 'excess', rule: 'at most', bound: 50, against: ['slow'] }), {
    judged: 40,
    met: true,
  });
  t.match(judged({ figure: 'cpu', as: 'value', rule: 'at most', bound: 1 }), {
    judged: 1,
    against: undefined,
    met: true,
  });
  t.same(judged({ ...rate, bound: 1 }).rivals, { fast: 100, slow: 50 }, 'who has no such figure is not named');
  t.match(judged({ ...rate, figure: 'none', bound: 0 }), { met: false }, 'what was not measured meets nothing');
});

t.test('the table', async (t) => {
  const mark: Mark = { figure: 'MiB/s', as: 'ratio', rule: 'at least', bound: 1, against: ['nginx'] };
  const rows = judge('warm', [mark, { ...mark, bound: 3 }], {
    [OURS]: [{ 'MiB/s': 2400 }],
    nginx: [{ 'MiB/s': 1000 }],
  });
  const lines = table(rows).split('\n');
  t.equal(lines.length, 3);
  t.match(lines[1], /^warm +MiB\/s +2400 +nginx 1000 +nginx +2\.40 × +≥ 1 × +met$/);
  t.match(lines[2], /≥ 3 × +MISSED$/);
  t.equal(lines[1]!.indexOf('met'), lines[2]!.indexOf('MISSED'), 'columns stand under each other');
});

t.test('options and cases', async (t) => {
  const names = CASES.map(({ name }) => name);
  t.equal(new Set(names).size, names.length);
  t.match(parseOptions([]), { cases: names, runs: 5, scale: 1, out: 'bench/results.json', profile: undefined });
  t.same(parseOptions(['cold', 'warm', '--runs', '3']).cases, ['warm', 'cold'], 'in the order of the table');
  for (const wrong of [['tepid'], ['--runs', '0'], ['--runs', 'x'], ['--scale', '0'], ['--what']]) {
    t.throws(() => parseOptions(wrong));
  }
});

t.test('processes', { skip: isLinux ? false : 'reads /proc' }, async (t) => {
  const child = spawn('sh', ['-c', 'sleep 60 & wait'], { detached: true });
  t.teardown(() => process.kill(-child.pid!, 'SIGKILL'));
  t.ok(treeOf(process.pid).includes(child.pid!));
  t.ok(treeSeconds(process.pid) >= treeSeconds(child.pid!));
  t.ok(peakMiB(process.pid) > 10);
  const before = endedChildrenSeconds();
  await once(spawn('sh', ['-c', 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done']), 'close');
  t.ok(endedChildrenSeconds() > before);
});

t.test('the data of a registry', async (t) => {
  const data = new RegistryData(t.testdir());
  const blob = await data.addBlob(5_000_000);
  const bytes = await readFile(data.fileOf(blob.digest));
  t.equal(bytes.length, 5_000_000);
  t.equal(blob.digest, `sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  const zeros = await data.addZeros(4_194_305);
  t.equal(zeros.digest, `sha256:${createHash('sha256').update(Buffer.alloc(4_194_305)).digest('hex')}`);
  const manifest = await data.addImage('v1', [blob]);
  t.match(JSON.parse(await readFile(data.fileOf(manifest), 'utf8')), { layers: [blob] });
});

t.test('the load generator', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/missing') response.statusCode = 404;
    response.setHeader('Content-Length', 100_000);
    // Head and body come apart.
    response.flushHeaders();
    setImmediate(() => response.end(Buffer.alloc(100_000)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const again = { kind: 'again', headers: {}, warmUpMs: 20, forMs: 200 } as const;
  // Long enough for each connection to ask again, however busy the machine is.
  let times: readonly number[] = [];
  for (let forMs = 200; times.length <= 4 && forMs < PATIENCE_MS; forMs *= 4)
    times = await load({ ...again, forMs, url: `${url}/here`, connections: 4 });
  t.ok(times.length > 4 && times.every((ms) => ms > 0));
  t.equal((await load({ kind: 'first bytes', urls: [url, url, url] })).length, 3);
  await t.rejects(load({ ...again, url: `${url}/missing`, connections: 1 }), /404/);

  const whole: number[] = [];
  const exchange = new HttpExchange(new URL(url), ({ message }) => t.fail(message));
  let first = 0;
  await new Promise<void>((resolve) => {
    const ask = () => exchange.ask('GET / HTTP/1.1\r\nHost: x\r\n\r\n', done, (ms) => (first = ms));
    const done = (ms: number) => {
      whole.push(ms);
      if (whole.length === 3) resolve();
      else ask();
    };
    ask();
  });
  exchange.close();
  t.ok(first > 0 && first <= whole[2]!);
});

t.test('the relay gives every byte, late', async (t) => {
  const body = Buffer.alloc(3_000_000, 'relay');
  const server = createServer((_, response) => response.end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close().closeAllConnections());
  const relay = await delayed(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    ms: 20,
    mibPerSecond: 1000,
  });
  t.teardown(() => relay.stop());
  const began = performance.now();
  const answer = await fetch(relay.url);
  // Two round trips of 40 ms; less would be no relay with a delay.
  t.ok(performance.now() - began >= 78);
  t.ok(Buffer.from(await answer.arrayBuffer()).equals(body));
});

t.test('the info hash of a torrent', async (t) => {
  const info = 'd6:lengthi3e4:name4:blob12:piece lengthi262144e6:pieces20:aaaaaaaaaaaaaaaaaaaae';
  const torrent = Buffer.from(`d8:announce9:http://a/13:creation datei1e4:info${info}e`);
  t.equal(infoHash(torrent), createHash('sha1').update(info).digest('hex'));
});
