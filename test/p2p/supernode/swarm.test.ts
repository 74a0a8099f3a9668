import t from 'tap';
import { MiB } from '../../../src/base/units.ts';
import { MAX_WISHES_PER_PEER, TRANSFER_DEADLINE_MS } from '../../../src/p2p/supernode/limits.ts';
import { BLOB, digest, Driver, fetches, kinds, leases } from './driver.ts';

const range = (count: number) => Array.from({ length: count }, (_none, i) => i);

t.test('slots: four pieces to a proxy, four from one; a report frees both', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'a', 'b');
  driver.have('h', 100);
  t.equal(fetches(driver.want('a', { mib: 100 })).length, 4);
  t.same(kinds(driver.want('b', { mib: 100 })), ['wait'], 'the only sender has no slot left');
  const said = driver.got('a', fetches(driver.take(), 'a')[0]!.piece, 'h');
  t.equal(fetches(said).length, 2, 'one from the sender, and the new piece from a to b');
});

t.test('slots: freed when the receiver goes, or when nothing is heard of a piece', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'a', 'b');
  driver.have('h', 100);
  driver.want('a', { mib: 100 });
  driver.want('b', { mib: 100 });
  t.equal(fetches(driver.tell({ kind: 'gone', peer: 'a' }), 'b').length, 4);
  driver.peers('i', 'c');
  driver.take();
  driver.have('i', 100);
  driver.pass(TRANSFER_DEADLINE_MS + 500);
  t.ok(
    fetches(driver.take(), 'b').some((one) => one.from === 'i'),
    'from another sender',
  );
});

t.test('slots: the blob with fewer pieces in flight gets the free one', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'i', 'a');
  driver.have('h', 100);
  driver.have('i', 100, undefined, digest('other'));
  const first = fetches(driver.want('a', { mib: 100 }));
  driver.want('a', { mib: 100, blob: digest('other') });
  const said = driver.got('a', first[0]!.piece, 'h');
  t.match(fetches(said, 'a'), [{ digest: digest('other') }]);
});

t.test('one-piece blobs: one slot more, both ways', async (t) => {
  const run = (onePieceSlot: boolean) => {
    const driver = new Driver({ rules: { onePieceSlot } });
    driver.peers('h', 'a');
    driver.have('h', 100);
    driver.have('h', 1, undefined, digest('manifest'));
    driver.want('a', { mib: 100 });
    return kinds(driver.want('a', { mib: 1, blob: digest('manifest') }));
  };
  t.same(run(true), ['fetch']);
  t.same(run(false), ['wait']);
});

t.test('one-piece blobs: the answer is a holder, the lease, or wait', async (t) => {
  const driver = new Driver();
  driver.peers('a', 'b');
  t.match(driver.want('a', { mib: 1, origin: 'origin' }), [{ kind: 'lease', run: { first: 0, count: 1 } }]);
  t.same(kinds(driver.want('b', { mib: 1, origin: 'origin' })), ['wait'], 'the origin is asked once');
  t.match(
    fetches(driver.got('a', 0, undefined, { crc32: 77 })),
    [{ peer: 'b', from: 'a', crc32: 77 }],
    'pushed at once',
  );
});

t.test('a size that is learned late: who waits is served as soon as a piece is there', async (t) => {
  // A manifest: nobody knows its size before the first answer.
  const driver = new Driver();
  driver.peers('a', 'b', 'c');
  const [lease] = leases(driver.want('a', { origin: 'origin' }));
  driver.want('b', { origin: 'origin' });
  driver.tell({ kind: 'size', peer: 'a', digest: BLOB, size: 900 });
  t.match(fetches(driver.got('a', 0)), [{ peer: 'b', piece: 0, from: 'a' }]);
  driver.ended('a', lease!.lease);

  const other = digest('other');
  driver.want('b', { blob: other });
  driver.want('c', { blob: other });
  driver.take();
  const said = fetches(driver.have('a', 3, undefined, other));
  t.same(
    said.map(({ piece, from }) => [piece, from]),
    [0, 1, 2].map((piece) => [piece, 'a']),
    'a holder comes',
  );
});

t.test(
  'wait is said again every second, and the client that waits is found work as soon as there is some',
  async (t) => {
    const driver = new Driver();
    driver.peers('a', 'b');
    driver.have('b', 4, [3]);
    driver.want('a', { mib: 4, awaited: [{ first: 0, count: 1 }] });
    t.same(kinds(driver.take()), ['none']);
    driver.tell({ kind: 'awaiting', peer: 'a', digest: BLOB, awaited: [{ first: 0, count: 4 }] });
    t.match(fetches(driver.take()), [{ piece: 3 }]);
    driver.got('a', 3, 'b');
    t.match(driver.take(), [{ kind: 'none' }], 'nobody holds the rest, nobody can read it');
    driver.peers('c');
    driver.want('c', { mib: 4, origin: 'origin', awaited: [{ first: 0, count: 3 }] });
    driver.take();
    driver.tell({ kind: 'awaiting', peer: 'a', digest: BLOB, awaited: [{ first: 0, count: 4 }] });
    t.same(kinds(driver.take()), ['wait']);
    t.same(kinds(driver.pass(3500)).filter((kind) => kind === 'wait').length, 3);
    t.match(fetches(driver.got('c', 0)), [{ peer: 'a', piece: 0, from: 'c' }]);
  },
);

t.test('head of line: the two pieces that a client waits for come before rarer ones', async (t) => {
  const pieces = (headOfLine: boolean) => {
    const driver = new Driver({ rules: { headOfLine } });
    driver.peers('h', 'i', 'j', 'k', 'a');
    driver.have('h', 100);
    // Pieces 0 and 1 are the commonest, 50 and 51 come next.
    for (const [peer, held] of [
      ['i', range(50)],
      ['j', range(50)],
      ['k', range(2)],
    ] as const)
      driver.have(peer, 100, [...held]);
    return fetches(driver.want('a', { mib: 100 }))
      .map((one) => one.piece)
      .slice(0, 2);
  };
  t.same(pieces(true), [0, 1]);
  t.ok(
    pieces(false).every((piece) => piece >= 50),
    'without the rule: the rarest',
  );
});

t.test('rarest: what fewest hold, or are getting, comes first', async (t) => {
  const driver = new Driver({ rules: { headOfLine: false } });
  driver.peers('h', 'i', 'a');
  driver.have('h', 12);
  driver.have('i', 12, range(9));
  t.same(
    new Set(
      fetches(driver.want('a', { mib: 12 }))
        .map((one) => one.piece)
        .slice(0, 3),
    ),
    new Set([9, 10, 11]),
  );
});

t.test('rarest: ties are in order while nobody else wishes for the blob, else at random', async (t) => {
  const pieces = (others: readonly string[]) => {
    const driver = new Driver({ rules: { headOfLine: false } });
    driver.peers('h', 'a', ...others);
    driver.have('h', 100);
    for (const other of others) driver.want(other, { mib: 100, awaited: [] });
    const got: number[] = [];
    for (let said = fetches(driver.want('a', { mib: 100 })); got.length < 20;) {
      got.push(...said.map(({ piece }) => piece));
      said = said.flatMap(({ piece }) => fetches(driver.got('a', piece, 'h'), 'a'));
    }
    return got;
  };
  t.same(pieces([]), range(20));
  t.notSame(pieces(['b']), range(20));
});

t.test('source: the same zone first, then the least loaded', async (t) => {
  const driver = new Driver();
  for (const [peer, zone] of [
    ['far1', 'x'],
    ['far2', 'x'],
    ['near', 'y'],
    ['a', 'y'],
    ['b', 'x'],
  ] as const) {
    driver.tell({ kind: 'peer', peer, reachable: true, zone });
    if (peer.length > 1) driver.have(peer, 100);
  }
  t.same(
    fetches(driver.want('a', { mib: 100 })).map((one) => one.from),
    ['near', 'near', 'near', 'near'],
  );
  const said = fetches(driver.want('b', { mib: 100 }), 'b').map((one) => one.from);
  t.same([said.filter((from) => from === 'far1').length, said.filter((from) => from === 'far2').length], [2, 2]);
});

t.test('slow senders get fewer pieces to send', async (t) => {
  const sent = (shrinkSlots: boolean) => {
    const driver = new Driver({ rules: { shrinkSlots } });
    const receivers = range(6).map((i) => `r${i}`);
    driver.peers('fast', 'slow', ...receivers);
    driver.have('fast', 200);
    driver.have('slow', 200);
    for (const peer of receivers) driver.want(peer, { mib: 200 });
    const open = fetches(driver.take());
    for (let turn = 0; turn < 40; turn += 1) {
      for (const one of open.filter((fetch) => fetch.from !== 'slow' || turn % 10 === 9)) {
        driver.got(one.peer, one.piece, one.from, { ms: one.from === 'slow' ? 1000 : 100 });
        open.splice(open.indexOf(one), 1);
      }
      open.push(...fetches(driver.take()));
    }
    return open.filter((one) => one.from === 'slow').length;
  };
  t.equal(sent(false), 4);
  t.ok(sent(true) <= 2);
});

t.test('fan-out: while few read the origin, a piece is in flight to no more than hold it', async (t) => {
  const copies = (fanOut: boolean) => {
    const driver = new Driver({ rules: { fanOut } });
    driver.peers('a', 'b', 'c', 'd');
    driver.want('a', { mib: 100, origin: 'origin' });
    for (const peer of ['b', 'c', 'd']) driver.want(peer, { mib: 100 });
    return fetches(driver.got('a', 0)).length;
  };
  t.equal(copies(true), 1);
  t.equal(copies(false), 3);
});

t.test('several blobs: a slot goes to the one with the fewest pieces in flight, ties at random', async (t) => {
  const [one, two, three] = ['one', 'two', 'three'].map((name) => digest(name));
  const next = new Set<string>();
  for (let seed = 1; seed <= 20; seed += 1) {
    const driver = new Driver({ seed });
    driver.peers('h', 'a');
    for (const blob of [one!, two!, three!]) driver.have('h', 100, undefined, blob);
    const [first] = fetches(driver.want('a', { blob: one!, mib: 100 }));
    for (const blob of [two!, three!]) t.same(fetches(driver.want('a', { blob, mib: 100 })), []);
    for (const fetch of fetches(driver.got('a', first!.piece, 'h', { blob: one! }))) next.add(fetch.digest);
  }
  t.same(next, new Set([two, three]));
});

t.test('fan-out: what others hold too does not take the slots of one of few lessees', async (t) => {
  const from = (fanOut: boolean) => {
    const driver = new Driver({ rules: { fanOut } });
    driver.peers('a', 'h', 'c', 'd');
    driver.have('h', 100, [0, 1]);
    driver.want('a', { mib: 100, origin: 'origin', held: [0, 1] });
    // So the other holder is the one with more to do.
    t.match(fetches(driver.want('d', { mib: 100, awaited: [{ first: 0, count: 1 }] })).length, 1);
    driver.got('a', 2);
    driver.take();
    return fetches(driver.want('c', { mib: 100 }))
      .filter((one) => one.piece < 2)
      .map((one) => one.from);
  };
  t.same(from(true), ['h', 'h']);
  t.ok(from(false).includes('a'));
});

t.test('a failed pair stays apart for a minute; the piece comes from another holder at once', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'i', 'a');
  driver.have('h', 100);
  driver.want('a', { mib: 100 });
  driver.have('i', 100);
  const [lost] = fetches(driver.take());
  t.match(fetches(driver.failed('a', lost!.piece, 'h', 'reset')), [{ piece: lost!.piece, from: 'i' }]);
  driver.pass(59_000);
  for (const one of fetches(driver.take())) driver.got('a', one.piece, one.from);
  t.same(
    fetches(driver.take(), 'a').filter((one) => one.from === 'h'),
    [],
  );
});

t.test(
  'the only holder fails: the piece comes from the origin, and if nobody can read that, from the holder after all',
  async (t) => {
    const driver = new Driver();
    driver.proveRanges();
    driver.peers('h', 'a', 'b');
    driver.have('h', 4);
    driver.want('a', { mib: 4, origin: 'origin' });
    t.match(leases(driver.failed('a', 0, 'h', 'timeout')), [{ peer: 'a', run: { first: 0, count: 1 } }]);
    for (const piece of [1, 2, 3]) driver.got('a', piece, 'h');

    driver.have('h', 4, undefined, digest('other'));
    driver.want('b', { mib: 4, blob: digest('other') });
    for (const piece of range(4)) driver.failed('b', piece, 'h', 'timeout', digest('other'));
    driver.take();
    driver.pass(10_000);
    t.ok(fetches(driver.take(), 'b').length > 0, 'a holder that failed a while ago is better than nobody');
  },
);

t.test('two receivers got nothing: the sender is held back, tested, and what only it has is read again', async (t) => {
  const driver = new Driver();
  driver.proveRanges();
  driver.peers('h', 'a', 'b', 'd');
  driver.have('h', 4);
  driver.want('a', { mib: 4, awaited: [{ first: 0, count: 1 }] });
  driver.want('b', { mib: 4, awaited: [{ first: 1, count: 1 }] });
  t.same(driver.failed('a', 0, 'h', 'timeout'), [{ kind: 'wait', peer: 'a', digest: BLOB }], 'one may be chance');
  t.match(driver.failed('b', 1, 'h', 'timeout'), [
    { kind: 'trouble', peer: 'h' },
    { kind: 'wait', peer: 'b' },
  ]);
  const read = leases(driver.want('d', { mib: 4, origin: 'origin' }));
  t.match(read, [{ peer: 'd', run: { first: 0, count: 4 } }]);
  driver.take();
  driver.pass(1750);
  driver.progress('d', read[0]!.lease);
  driver.pass(1750);
  const tries = fetches(driver.take());
  t.equal(tries.length, 1, 'then it is tried with one slot');
  driver.got(tries[0]!.peer, tries[0]!.piece, 'h');
  t.equal(fetches(driver.take()).length, 1, 'and trusted again once it has sent a piece');
});

t.test("busy and gone are nobody's fault: the piece is asked for again soon", async (t) => {
  for (const reason of ['busy', 'gone'] as const) {
    const driver = new Driver();
    driver.peers('h', 'a');
    driver.have('h', 4);
    driver.want('a', { mib: 4 });
    driver.take();
    t.same(fetches(driver.failed('a', 0, 'h', reason)), []);
    driver.pass(4000);
    t.match(fetches(driver.take()), [{ piece: 0, from: 'h' }], reason);
  }
});

t.test('complaints: one parts a pair, three suspend a sender; who accuses three is not believed', async (t) => {
  const driver = new Driver();
  driver.peers('bad', 'a', 'b', 'c', 'd');
  driver.have('bad', 100);
  for (const peer of ['a', 'b', 'c']) {
    const [one] = fetches(driver.want(peer, { mib: 100, awaited: [{ first: 0, count: 1 }] }));
    t.equal(one!.from, 'bad', peer);
    driver.failed(peer, 0, 'bad', 'bad');
    t.same(fetches(driver.pass(1500), peer), [], 'the pair stays apart');
    driver.tell({ kind: 'leave', peer, digest: BLOB });
  }
  t.same(kinds(driver.want('d', { mib: 100 })), ['none'], 'suspended');
  driver.tell({ kind: 'gone', peer: 'bad' });
  driver.peers('bad');
  driver.have('bad', 100);
  t.same(fetches(driver.take(), 'd'), [], 'coming back does not wash it off');
  driver.pass(601_000);
  t.ok(fetches(driver.take(), 'd').length > 0, 'but time does');

  const liar = new Driver();
  liar.peers('liar', 'x', 'y', 's1', 's2', 's3');
  for (const [i, sender] of ['s1', 's2', 's3'].entries()) {
    const blob = digest(`of ${sender}`);
    liar.have(sender, 4, undefined, blob);
    for (const peer of i === 2 ? ['liar', 'x', 'y'] : ['liar']) {
      liar.want(peer, { mib: 4, blob, awaited: [{ first: 0, count: 1 }] });
      liar.failed(peer, 0, sender, 'bad', blob);
    }
  }
  liar.peers('z');
  t.ok(
    fetches(liar.want('z', { mib: 4, blob: digest('of s3') })).length > 0,
    'two complaints that count do not suspend',
  );
});

t.test('inventory: partial blobs, evictions, unreachable peers', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'a');
  driver.have('h', 4, [1, 2]);
  t.same(
    fetches(driver.want('a', { mib: 4 })).map((one) => one.piece),
    [1, 2],
  );
  driver.tell({ kind: 'leave', peer: 'a', digest: BLOB });
  driver.tell({ kind: 'lost', peer: 'h', digest: BLOB });
  t.same(kinds(driver.want('a', { mib: 4 })), ['none']);
  t.equal(fetches(driver.have('h', 4)).length, 4, 'what comes is offered to who waits');
  driver.tell({ kind: 'peer', peer: 'h', reachable: false });
  driver.failed('a', 0, 'h', 'reset');
  t.same(fetches(driver.pass(100)), [], 'an unreachable peer is no source');
  t.match([...driver.swarm.blobs()], [{ digest: BLOB, size: 4 * MiB, holders: ['h'], downloading: ['a'] }]);
});

t.test('what holders know of check sums is passed on; the first word stands', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'a');
  driver.tell({
    kind: 'have',
    peer: 'h',
    digest: BLOB,
    size: MiB,
    crcs: [
      [0, 5],
      [0, 6],
      [9, 7],
    ],
  });
  t.match(fetches(driver.want('a', { mib: 1 })), [{ crc32: 5 }]);
});

t.test('bad input: a coded reject, and nothing is changed', async (t) => {
  const driver = new Driver();
  t.match(driver.have('stranger', 4), [{ kind: 'reject', peer: 'stranger', code: 'UNKNOWN_PEER' }]);
  driver.peers('a');
  t.match(driver.got('a', 0), [{ kind: 'reject', code: 'UNKNOWN_WISH' }]);
  driver.want('a', { mib: 4, origin: 'origin' });
  t.match(driver.got('a', 4), [{ kind: 'reject', code: 'NO_SUCH_PIECE' }]);
  t.match(driver.have('a', 5), [{ kind: 'reject', code: 'SIZE_CONFLICT' }]);
  driver.peers('b');
  t.match(driver.want('b', { mib: 5 }), [
    { kind: 'reject', code: 'SIZE_CONFLICT' },
    { kind: 'none', reason: 'alone' },
  ]);
  t.match(driver.want('b', { blob: digest('huge'), mib: 2 ** 20 }), [
    { kind: 'reject' },
    { kind: 'none', reason: 'alone' },
  ]);
  t.match(driver.tell({ kind: 'have', peer: 'b', digest: digest('x'), size: -1 }), [{ kind: 'reject' }]);
  t.same(driver.have('b', 4, [99]), [], 'pieces that do not exist are no pieces');
  t.match(driver.swarm.stats(), { peers: 2, blobs: 1, wishes: 1, rejected: 7 });
});

t.test('bounded: a proxy with too many wishes is told to go alone', async (t) => {
  const driver = new Driver();
  driver.peers('a');
  for (let i = 0; i < MAX_WISHES_PER_PEER; i += 1) driver.want('a', { blob: digest(`${i}`), mib: 1 });
  driver.take();
  t.match(driver.want('a', { mib: 1 }), [
    { kind: 'reject', code: 'LIMIT_REACHED' },
    { kind: 'none', reason: 'alone' },
  ]);
  driver.tell({ kind: 'gone', peer: 'a' });
  t.match(driver.swarm.stats(), { peers: 0, blobs: 0, wishes: 0 });
});

t.test('a wish without anything awaited asks for nothing; what is awaited next comes at once', async (t) => {
  const driver = new Driver();
  driver.tell({ kind: 'peer', peer: 'h', reachable: true, zone: 'x', uploadSlots: 1 });
  driver.peers('a');
  driver.have('h', 4);
  t.same(driver.want('a', { mib: 4, awaited: [] }), []);
  const ask = (first: number) =>
    driver.tell({
      kind: 'awaiting',
      peer: 'a',
      digest: BLOB,
      awaited: [
        { first, count: 1 },
        { first: 9, count: 1 },
      ],
    });
  t.match(fetches(ask(2)), [{ piece: 2, from: 'h' }]);
  t.same(kinds(ask(3)), [], 'the sender has one slot, as it said, and the other piece is still on its way');
  t.match(fetches(driver.got('a', 2, 'h')), [{ piece: 3 }]);
});

t.test('a wish said again replaces the first, and a blob that was lost is fetched again', async (t) => {
  const driver = new Driver();
  driver.peers('h', 'a');
  driver.have('a', 4);
  driver.have('h', 4);
  t.equal(fetches(driver.want('a', { mib: 4, held: [0, 1] })).length, 2);
  t.same(driver.want('a', { mib: 4, held: [2], awaited: [{ first: 2, count: 1 }] }), []);
  t.equal(driver.swarm.nextTick < Number.POSITIVE_INFINITY, true);
});

t.test('a peer that goes is given nothing more, whichever of its wishes is given up first', async (t) => {
  const driver = new Driver();
  driver.peers('a', 'b');
  for (const blob of ['one', 'two', 'three']) {
    driver.have('a', 8, undefined, digest(blob));
    driver.want('b', { blob: digest(blob), mib: 8 });
  }
  t.same(fetches(driver.tell({ kind: 'gone', peer: 'b' })), []);
});

t.test('a failed pair stays apart as long as before, whatever milder is said of it', async (t) => {
  const driver = new Driver();
  driver.peers('a', 'b', 'c');
  driver.have('a', 8);
  driver.have('c', 8, [7]);
  const [first, second] = fetches(driver.want('b', { mib: 8 })).filter(({ from }) => from === 'a');
  driver.failed('b', first!.piece, 'a', 'reset');
  driver.failed('b', second!.piece, 'a', 'gone');
  t.equal(driver.directory.peers.get('b')!.avoided.get('a'), driver.now + 60_000);
});
