import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { LEASE_SILENT_MS } from '../../../src/p2p/supernode/limits.ts';
import { BLOB, cuts, digest, Driver, fetches, kinds, leases } from './driver.ts';

function swarm(options: ConstructorParameters<typeof Driver>[0] & { unproven?: boolean } = {}) {
  const driver = new Driver(options);
  if (!options.unproven && !options.settleMs) driver.proveRanges();
  return driver;
}

t.test('lease: a lone proxy reads the whole rest with one request', async (t) => {
  const driver = swarm();
  driver.peers('a');
  t.match(leases(driver.want('a', { mib: 100, origin: 'origin' })), [{ peer: 'a', run: { first: 0, count: 100 } }]);
});

t.test('lease: a range that a client wants is all that is read for it', async (t) => {
  const driver = swarm();
  driver.peers('a');
  const said = driver.want('a', { mib: 100, origin: 'origin', awaited: [{ first: 7, count: 2 }] });
  t.match(leases(said), [{ run: { first: 7, count: 2 } }]);
});

t.test('trim: when a second proxy asks, the lone rest is cut, and it reads on from there', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b', 'c');
  const [lone] = leases(driver.want('a', { mib: 100, origin: 'origin' }));
  const said = driver.want('b', { mib: 100, origin: 'origin' });
  t.match(cuts(said), [{ peer: 'a', lease: lone!.lease, last: 3 }], 'four pieces while no rate is known');
  t.match(leases(said), [{ peer: 'b', run: { first: 4, count: 4 } }]);
  t.match(
    leases(driver.want('c', { mib: 100, origin: 'origin' })),
    [{ peer: 'c', run: { first: 8, count: 4 } }],
    'adjacent, from the front',
  );

  const without = swarm({ rules: { cutLone: false, halve: false } });
  without.peers('a', 'b');
  without.want('a', { mib: 100, origin: 'origin' });
  t.same(
    kinds(without.want('b', { mib: 100, origin: 'origin' })),
    ['wait'],
    'without the rule the second one waits for the first',
  );
});

/** A proxy reads 40 MiB alone, the first one of them in `ms`. */
function lonePiece(ms: number, rules = {}) {
  const driver = swarm({ rules });
  driver.peers('a', 'b');
  const [lone] = leases(driver.want('a', { mib: 40, origin: 'origin' }));
  driver.pass(50);
  driver.progress('a', lone!.lease);
  driver.got('a', 0, undefined, { ms });
  return driver;
}

t.test('trim: who finds nothing unclaimed takes half of the longest unread rest', async (t) => {
  const said = lonePiece(100, { cutLone: false }).want('b', { mib: 40, origin: 'origin' });
  t.match(cuts(said), [{ peer: 'a', last: 20 }]);
  t.match(leases(said), [{ peer: 'b', run: { first: 21, count: 5 } }], 'a second of it, at half of what a has read');
});

t.test('trim: a rest that is read in little more than the time of a request is left alone', async (t) => {
  // What the origin has sent of it when it is cut comes in vain.
  t.same(kinds(lonePiece(2).want('b', { mib: 40, origin: 'origin' })), ['fetch']);
  const driver = swarm();
  driver.peers('a', 'b');
  driver.want('a', { mib: 8, origin: 'origin' });
  t.same(kinds(driver.want('b', { mib: 8, origin: 'origin' })), ['wait'], 'nor a small blob, before it is known');
});

t.test('trim: while there is more to read behind the window, only what takes longer than a run', async (t) => {
  const halved = (mib: number, ms: number) => {
    const driver = swarm();
    driver.peers('a', 'b', 'c');
    for (const [peer, lease, run] of [
      ['a', 101, { first: 0, count: 100 }],
      ['b', 102, { first: 100, count: 28 }],
    ] as const) {
      driver.want(peer, { mib, held: [0], awaited: [{ first: 0, count: 1 }], origin: 'origin' });
      driver.tell({ kind: 'reading', peer, digest: BLOB, lease, run });
    }
    driver.progress('a', 101);
    driver.got('a', 1, undefined, { ms });
    return kinds(driver.want('c', { mib, origin: 'origin' })).filter((kind) => kind !== 'fetch');
  };
  t.same(halved(128, 5), ['cut', 'lease'], 'half a second of reading, at the end');
  t.same(halved(130, 5), []);
  t.same(halved(130, 50), ['cut', 'lease'], 'five seconds: the window would wait for them');
});

t.test('runs: a second of reading, at the own rate or the share of what the origin gives', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [lone] = leases(driver.want('a', { mib: 200, origin: 'origin' }));
  driver.progress('a', lone!.lease);
  // 1 MiB in 20 ms: 50 pieces a second, of which a second lessee would leave it half.
  for (let piece = 0; piece < 5; piece += 1) {
    driver.pass(20);
    driver.got('a', piece, undefined, { ms: 20 });
  }
  const said = driver.want('b', { mib: 200, origin: 'origin' });
  t.match(cuts(said), [{ last: 54 }], 'the present reader keeps a second at its own rate');
  t.match(leases(said), [{ peer: 'b', run: { first: 55, count: 25 } }], 'the new one gets its share');
});

t.test('early grant: the next run is granted one origin round trip before the present one ends', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [one] = leases(driver.want('a', { mib: 200, origin: 'origin' }));
  driver.want('b', { mib: 200, origin: 'origin' });
  driver.pass(30);
  driver.progress('a', one!.lease);
  // Its lead is now (50 + 30) / 2 = 40 ms; the last piece takes 60 ms.
  const said = [];
  for (let piece = 0; piece < 3; piece += 1) {
    driver.pass(60);
    said.push(...driver.got('a', piece, undefined, { ms: 60 }));
  }
  t.same(leases(said), []);
  t.same(leases(driver.pass(15)), []);
  t.match(leases(driver.pass(10)), [{ peer: 'a', run: { first: 8 } }]);
  t.same(leases(driver.pass(100)), [], 'one ahead at most');
});

t.test('a lease does not use one of the download slots', async (t) => {
  const driver = swarm();
  driver.peers('a', 'h');
  driver.have('h', 100, [0, 1, 2, 3, 4, 5]);
  const said = driver.want('a', { mib: 100, origin: 'origin' });
  t.equal(fetches(said).length, 4);
  t.match(leases(said), [{ run: { first: 6, count: 94 } }], 'and what somebody holds is not read');
});

t.test('window: nothing is leased or fetched far ahead of what a client waits for', async (t) => {
  const held = Array.from({ length: 150 }, (_none, i) => i);
  const run = (rules: object) => {
    const driver = swarm({ rules });
    driver.peers('a', 'b', 'h');
    driver.have('h', 200, held);
    driver.want('a', { mib: 200, origin: 'origin', awaited: [{ first: 190, count: 10 }] });
    return leases(driver.want('b', { mib: 200, origin: 'origin' }));
  };
  t.same(run({}), []);
  t.match(run({ window: false }), [{ peer: 'b', run: { first: 150 } }]);
});

t.test('lessees: at most 16 a blob, shared among the blobs of an image, at least 4', async (t) => {
  const lessees = (blobs: number, image: string | undefined, rules = {}) => {
    const driver = swarm({ rules });
    const names = Array.from({ length: 20 }, (_none, i) => `p${i}`);
    driver.peers(...names);
    const readers = new Set<string>();
    for (let i = 0; i < blobs; i += 1)
      driver.want('p0', { blob: digest(`layer ${i}`), mib: 200, origin: 'origin', ...(image && { image }) });
    for (const peer of names) {
      for (const lease of leases(
        driver.want(peer, { blob: digest('layer 0'), mib: 200, origin: 'origin', ...(image && { image }) }),
      ))
        readers.add(lease.peer);
    }
    return readers.size + (blobs > 0 && !readers.has('p0') ? 1 : 0);
  };
  t.equal(lessees(1, undefined), 16);
  t.equal(lessees(3, 'image'), 6);
  t.equal(lessees(8, 'image'), 4);
  t.equal(lessees(3, 'image', { shareLessees: false }), 16);
});

t.test('ranges: until the origin has given one, a second read only tries, and the lone one is not cut', async (t) => {
  const driver = swarm({ unproven: true });
  driver.peers('a', 'b', 'c');
  const [lone] = leases(driver.want('a', { mib: 200, origin: 'origin' }));
  const said = driver.want('b', { mib: 200, origin: 'origin' });
  t.same(cuts(said), []);
  const [test] = leases(said);
  t.match(test, { peer: 'b', run: { first: 64, count: 4 } });
  t.same(leases(driver.want('c', { mib: 200, origin: 'origin' })), [], 'a third one waits for the answer');
  driver.progress('a', lone!.lease);
  t.same(
    kinds(driver.take()).filter((kind) => kind === 'cut'),
    [],
    'the first byte of the blob proves nothing',
  );
  const proven = driver.progress('b', test!.lease);
  t.match(cuts(proven), [{ peer: 'a', last: 3 }]);
  t.match(leases(proven), [{ peer: 'c', run: { first: 4, count: 4 } }]);
});

t.test('no ranges: one lease, front to back', async (t) => {
  const driver = swarm({ unproven: true });
  driver.peers('a', 'b');
  const [lone] = leases(driver.want('a', { mib: 200, origin: 'origin' }));
  driver.tell({ kind: 'no-ranges', peer: 'a', digest: BLOB });
  t.same(kinds(driver.want('b', { mib: 200, origin: 'origin' })), ['wait']);
  const said = driver.ended('a', lone!.lease, { code: 'ORIGIN_CUT', final: true });
  t.match(leases(said), [{ peer: 'b', run: { first: 0, count: 200 } }]);
});

t.test('no ranges: who tries for a range is told to give up, and the front one reads on', async (t) => {
  const driver = swarm({ unproven: true });
  driver.peers('a', 'b');
  const [lone] = leases(driver.want('a', { mib: 200, origin: 'origin' }));
  driver.progress('a', lone!.lease);
  const [test] = leases(driver.want('b', { mib: 200, origin: 'origin' }));
  const said = driver.tell({ kind: 'no-ranges', peer: 'b', digest: BLOB });
  t.match(cuts(said), [{ peer: 'b', lease: test!.lease, last: test!.run.first - 1 }]);
  t.equal(cuts(said).length, 1);
  t.same(kinds(driver.ended('b', test!.lease)), ['wait']);
  t.same(driver.tell({ kind: 'no-ranges', peer: 'b', digest: BLOB }), [], 'said again it changes nothing');
});

t.test('size unknown: one lease without end, cut when the size is known and others wait', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [lone] = leases(driver.want('a', { origin: 'origin' }));
  t.match(lone, { run: { first: 0, count: Number.POSITIVE_INFINITY } });
  t.same(kinds(driver.want('b', { origin: 'origin' })), ['wait']);
  const said = driver.tell({ kind: 'size', peer: 'a', digest: BLOB, size: 100 * MiB });
  t.match(cuts(said), [{ peer: 'a', last: 3 }]);
  t.match(leases(said), [{ peer: 'b', run: { first: 4, count: 4 } }]);
  t.match(
    driver.tell({ kind: 'size', peer: 'b', digest: BLOB, size: 5 }),
    [
      { kind: 'reject', code: 'SIZE_CONFLICT' },
      { kind: 'none', peer: 'b', reason: 'alone' },
    ],
    'another size: the first word stands',
  );
});

for (const [code, final] of [
  ['ORIGIN_DENIED', true],
  ['ORIGIN_RATE_LIMITED', false],
] as const) {
  t.test(`${code}: the lease is given back, and another proxy reads`, async (t) => {
    const driver = swarm();
    driver.peers('a', 'b', 'c');
    const [lease] = leases(driver.want('a', { mib: 10, origin: 'origin' }));
    driver.want('b', { mib: 10 });
    driver.want('c', { mib: 10, origin: 'origin' });
    const [own] = leases(driver.take(), 'c');
    t.match(own, { run: { first: 4, count: 4 } });
    const failure = { code, final, retryAfterMs: final ? undefined : 30_000 };
    driver.ended('a', lease!.lease, failure);
    for (let piece = 4; piece < 8; piece += 1) driver.got('c', piece, undefined, { ms: 100 });
    driver.ended('c', own!.lease);
    t.match(leases(driver.take(), 'c'), [{ run: { first: 0, count: 4 } }]);
    t.same(leases(driver.pass(10_000), 'a'), [], 'who was refused is not asked again, or not so soon');
  });
}

t.test('nobody can read: those who wait are told, with the reason', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [lease] = leases(driver.want('a', { mib: 4, origin: 'origin' }));
  t.same(kinds(driver.want('b', { mib: 4 })), ['wait']);
  const said = driver.ended('a', lease!.lease, { code: 'ORIGIN_NOT_FOUND', final: true });
  t.match(said, [
    { kind: 'none', peer: 'a', reason: 'unavailable', code: 'ORIGIN_NOT_FOUND' },
    { kind: 'none', peer: 'b', reason: 'unavailable' },
  ]);
});

t.test('a read that breaks off is tried again after a while; the eighth time without a byte is the last', async (t) => {
  const driver = swarm();
  driver.peers('a');
  let [lease] = leases(driver.want('a', { mib: 4, origin: 'origin' }));
  for (let n = 1; n < 8; n += 1) {
    t.same(leases(driver.ended('a', lease!.lease, { code: 'ORIGIN_CUT', final: false })), []);
    [lease] = leases(driver.pass(4000));
    t.ok(lease, `try ${n + 1}`);
  }
  t.match(driver.ended('a', lease!.lease, { code: 'ORIGIN_CUT', final: false }), [
    { kind: 'none', code: 'ORIGIN_CUT' },
  ]);
});

t.test('stall: after 2 s without a byte its unread pieces are read by another; it keeps the one in hand', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [lease] = leases(driver.want('a', { mib: 40, origin: 'origin' }));
  driver.progress('a', lease!.lease);
  driver.got('a', 0, undefined, { ms: 100 });
  driver.want('b', { mib: 40, origin: 'origin' });
  const [second] = leases(driver.take(), 'b');
  for (let at = 0; at < 1900; at += 100) {
    driver.pass(100);
    driver.progress('b', second!.lease);
  }
  t.same(
    cuts(driver.take(), 'a').filter((cut) => cut.last === 1),
    [],
  );
  const said = driver.pass(200);
  t.match(cuts(said, 'a'), [{ last: 1 }]);
  for (let piece = second!.run.first; piece < second!.run.first + second!.run.count; piece += 1) {
    driver.pass(10);
    driver.got('b', piece);
  }
  const next = leases(driver.ended('b', second!.lease), 'b').concat(leases(driver.take(), 'b'));
  t.ok(
    next.some((run) => run.run.first === 1),
    'from the first unread piece on',
  );
  driver.got('a', 1);
  t.same(driver.swarm.stats().leases >= 1, true, 'a late piece does no harm');
});

t.test('stall: the one that stalls takes from others what it was reading itself', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [lease] = leases(driver.want('a', { mib: 2, origin: 'origin' }));
  driver.progress('a', lease!.lease);
  driver.got('a', 0, undefined, { ms: 100 });
  driver.want('b', { mib: 2, origin: 'origin' });
  driver.got('b', 0, 'a');
  driver.take();
  driver.pass(2100);
  t.match(leases(driver.take(), 'b'), [{ run: { first: 1, count: 1 } }]);
  const said = driver.got('b', 1);
  t.match(fetches(said, 'a'), [{ piece: 1, from: 'b' }], 'as soon as another has it');
});

t.test('stall: while the supernode itself did not run, nobody was silent', async (t) => {
  const driver = swarm();
  driver.peers('a');
  const [lease] = leases(driver.want('a', { mib: 40, origin: 'origin' }));
  driver.progress('a', lease!.lease);
  driver.now += 5000;
  driver.swarm.paused(driver.now);
  t.same(cuts(driver.pass(LEASE_SILENT_MS - 1)), [], 'what its proxy says may still be in the socket');
  t.match(cuts(driver.pass(1)), [{ peer: 'a' }], 'then it has been silent indeed');
});

t.test('stall: times with fractions do not keep a due task from being done', async (t) => {
  for (let n = 0; n < 500; n += 1) {
    const driver = swarm();
    driver.peers('a');
    driver.pass(n * 0.137);
    const [lease] = leases(driver.want('a', { mib: 40, origin: 'origin' }));
    driver.pass(n * 0.0317);
    driver.progress('a', lease!.lease);
    driver.pass(3000);
  }
  t.pass('every tick ended');
});

t.test('a dead lessee: its unread pieces go to the next at once', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  driver.want('a', { mib: 10, origin: 'origin' });
  driver.want('b', { mib: 10, origin: 'origin' });
  const [own] = leases(driver.take(), 'b');
  driver.tell({ kind: 'gone', peer: 'a' });
  for (let piece = own!.run.first; piece < own!.run.first + own!.run.count; piece += 1) driver.got('b', piece);
  const said = [...driver.ended('b', own!.lease), ...driver.take()];
  t.ok(leases(said).some((lease) => lease.run.first === 0));
  t.equal(driver.swarm.stats().leases, 1);
});

t.test('unreachable: leased only when no reachable proxy asks', async (t) => {
  const driver = swarm();
  driver.tell({ kind: 'peer', peer: 'u', reachable: false });
  driver.peers('r');
  const [mine] = leases(driver.want('r', { mib: 8, origin: 'origin' }));
  t.ok(mine);
  t.same(kinds(driver.want('u', { mib: 8, origin: 'origin' })), ['wait']);
  const said = driver.tell({ kind: 'gone', peer: 'r' });
  t.match(leases(said), [{ peer: 'u', run: { first: 0, count: 8 } }]);
});

t.test('restart: for 2 s only a present reader has its lease; then what is left is leased', async (t) => {
  const driver = swarm({ settleMs: 2000, firstLease: 500 });
  driver.peers('a', 'b');
  t.same(kinds(driver.want('b', { mib: 40, origin: 'origin' })), ['wait']);
  driver.want('a', { mib: 40, held: [0, 1], awaited: [], origin: 'origin' });
  driver.tell({ kind: 'reading', peer: 'a', digest: BLOB, lease: 17, run: { first: 2, count: 10 } });
  driver.tell({ kind: 'awaiting', peer: 'a', digest: BLOB, awaited: [{ first: 0, count: 40 }] });
  driver.progress('a', 17);
  t.same(leases(driver.pass(1000)), []);
  t.ok(fetches(driver.take(), 'b').length > 0, 'what is held goes out at once');
  driver.progress('a', 17);
  const granted = leases(driver.pass(1001));
  t.match(granted, [{ peer: 'b', lease: 500, run: { first: 12 } }], 'not what the other still reads');
});

t.test('restart: for 2 s nobody is told that a blob is nowhere: who has it may be coming back', async (t) => {
  const lost = swarm({ settleMs: 2000 });
  lost.peers('a');
  t.same(kinds(lost.want('a', { mib: 4 })), ['wait'], 'it cannot read the origin, and nobody has it');
  t.notOk(kinds(lost.pass(1999)).includes('none'));
  t.same(kinds(lost.pass(1001)), ['none']);

  const found = swarm({ settleMs: 2000 });
  found.peers('a', 'b');
  found.want('a', { mib: 4 });
  found.pass(500);
  found.have('b', 4);
  found.pass(100);
  t.ok(fetches(found.take(), 'a').length > 0);
});

t.test('runs: pieces that were found in the socket at once do not make their reader fast', async (t) => {
  const next = (times: number[]) => {
    const driver = swarm();
    driver.peers('a', 'b');
    const [lone] = leases(driver.want('a', { mib: 200, origin: 'origin' }));
    driver.want('b', { mib: 200, origin: 'origin' });
    driver.take();
    driver.pass(400);
    driver.progress('a', lone!.lease);
    for (const [piece, ms] of times.entries()) driver.got('a', piece, undefined, { ms });
    driver.ended('a', lone!.lease);
    return leases(driver.take(), 'a')[0]!.run.count;
  };
  // Four pieces in 400 ms are ten a second; by the time that the last ones took it were a hundred and more.
  const count = next([400, 1, 1, 1]);
  t.ok(count <= 12, String(count));
});

t.test('runs: no longer than an equal share of the rest, but for the first ones', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b', 'c', 'd');
  const [lone] = leases(driver.want('a', { mib: 48, origin: 'origin' }));
  for (const peer of ['b', 'c', 'd']) driver.want(peer, { mib: 48, origin: 'origin' });
  driver.take();
  driver.pass(50);
  driver.progress('a', lone!.lease);
  for (const piece of [0, 1, 2, 3]) {
    driver.pass(10);
    driver.got('a', piece, undefined, { ms: 10 });
  }
  driver.ended('a', lone!.lease);
  t.match(leases(driver.take(), 'a')[0], { run: { first: 16, count: 8 } }, 'a quarter of 32, not a hundred');
});

t.test('connections: where the origin caps each, a proxy gets more of them', async (t) => {
  const run = (gain: boolean) => {
    const driver = swarm();
    driver.peers('a', 'b');
    driver.want('a', { mib: 250, origin: 'origin' });
    driver.want('b', { mib: 250, origin: 'origin' });
    const open = new Map<number, { peer: string; next: number; last: number }>();
    let most = 0;
    const take = () => {
      for (const one of driver.take()) {
        if (one.kind === 'lease')
          open.set(one.lease, { peer: one.peer, next: one.run.first, last: one.run.first + one.run.count - 1 });
        if (one.kind === 'cut') open.get(one.lease)!.last = one.last;
      }
    };
    for (let at = 0; at < 3000; at += 100) {
      take();
      driver.pass(100);
      // All that the two connections bring is shared by four, or each brings the same.
      const rate = gain ? 1 : Math.min(1, 2 / open.size);
      for (const [lease, read] of open) {
        driver.progress(read.peer, lease);
        if (rate < 1 && at % 200 > 0) continue;
        driver.got(read.peer, read.next, undefined, { ms: 100 / rate });
        read.next += 1;
        if (read.next <= read.last) continue;
        open.delete(lease);
        driver.ended(read.peer, lease);
      }
      most = Math.max(most, [...open.values()].filter((read) => read.peer === 'a').length);
    }
    return most;
  };
  t.ok(run(true) >= 4);
  t.ok(run(false) <= 3, 'the one that was tried, and one granted early');
});

t.test('pieces of one read that come in the other order: those between still belong to it', async (t) => {
  const driver = swarm();
  driver.peers('a', 'b');
  const [lease] = leases(driver.want('a', { mib: 8, origin: 'origin' }));
  driver.got('a', 1);
  driver.got('a', 3);
  const claims = () => [...driver.directory.blobs.get(BLOB)!.claims];
  t.same(claims(), [1, 0, 1, 0, 1, 1, 1, 1]);
  driver.got('a', 0);
  t.same(claims(), [0, 0, 1, 0, 1, 1, 1, 1]);
  driver.ended('a', lease!.lease, { code: 'ORIGIN_CUT', final: true });
  t.same(claims(), [0, 0, 0, 0, 0, 0, 0, 0]);
  t.same(
    leases(driver.want('b', { mib: 8, origin: 'origin' }))[0]!.run,
    { first: 2, count: 1 },
    'what it has not brought',
  );
});

t.test('ranges: what is tried for is not what somebody has', async (t) => {
  const driver = swarm({ unproven: true });
  driver.peers('a', 'b', 'c');
  driver.want('a', { mib: 9, origin: 'origin' });
  driver.have('c', 9, [7, 8]);
  t.same(
    leases(driver.want('b', { mib: 9, origin: 'origin' })).map(({ run }) => run),
    [{ first: 5, count: 2 }],
  );
});

t.test('nobody can read: told again when that becomes so again', async (t) => {
  const driver = swarm();
  driver.peers('a');
  driver.tell({ kind: 'peer', peer: 'hidden', reachable: false });
  t.same(kinds(driver.want('a', { mib: 1 })), ['none']);
  driver.want('hidden', { mib: 1, origin: 'origin' });
  t.ok(kinds(driver.pass(1000)).includes('wait'));
  driver.got('hidden', 0);
  t.same(kinds(driver.tell({ kind: 'leave', peer: 'hidden', digest: BLOB })), ['none'], 'it is no source');
});
