import t from 'tap';
import type { Decision } from '../../../src/p2p/supernode/events.ts';
import { LEASE_SILENT_MS, SUSPEND_MS, VAIN_DISPUTES, WAIT_REPEAT_MS } from '../../../src/p2p/supernode/limits.ts';
import { BLOB, crcOf, digest, Driver, fetches, leases, readsAgain } from './driver.ts';

/** Proxies that want all of a blob. Each piece was read by the one named, with such bytes, and has come to all. */
function spread(
  first: readonly [reader: string, bytes: string][],
  peers: readonly string[],
  origin = 'origin',
): Driver {
  const driver = new Driver();
  driver.proveRanges();
  driver.peers(...peers);
  for (const peer of peers) driver.want(peer, { mib: first.length, origin });
  for (const [piece, [reader, bytes]] of first.entries()) {
    driver.got(reader, piece, undefined, { crc32: crcOf(bytes) });
    for (const peer of peers) if (peer !== reader) driver.got(peer, piece, reader, { crc32: crcOf(bytes) });
  }
  driver.take();
  return driver;
}

function told(said: readonly Decision[], peer: string): [piece: number, by: string, sha256: string][] {
  return said.flatMap((one): [number, string, string][] =>
    one.kind === 'second-reading' && one.peer === peer ? [[one.piece, one.by, one.sha256]] : [],
  );
}

function isOver(said: readonly Decision[], peer: string): boolean {
  return said.some((one) => one.kind === 'dispute' && one.peer === peer && one.isOver);
}

function blamed(said: readonly Decision[]): string[] {
  return said.flatMap((one) => (one.kind === 'blamed' ? [one.peer] : []));
}

/** All do what they are told, and read what `bytesOf` says. What was said. */
function readAll(
  driver: Driver,
  start: readonly Decision[],
  bytesOf: (peer: string, piece: number) => string,
): Decision[] {
  const said = [...start];
  for (let at = 0; at < said.length; at += 1) {
    const one = said[at]!;
    if (one.kind !== 'read-again') continue;
    for (let piece = one.run.first; piece < one.run.first + one.run.count; piece += 1) {
      said.push(...driver.again(one.peer, one.lease, piece, bytesOf(one.peer, piece)));
    }
    said.push(...driver.ended(one.peer, one.lease));
  }
  return said;
}

const inOrder = (pieces: number[]) => pieces.toSorted((a, b) => a - b);
const good = (piece: number) => `piece ${piece}`;

t.test('each piece is read once more, by another than its first reader; all who dispute hear of it', (t) => {
  const driver = spread(
    [
      ['w', 'wrong'],
      ['a', good(1)],
      ['b', good(2)],
    ],
    ['w', 'a', 'b'],
  );
  const read = readAll(driver, driver.mismatch('a'), (_, piece) => good(piece));
  const pieces = readsAgain(read).flatMap(({ peer, run }) =>
    Array.from({ length: run.count }, (_, i) => [run.first + i, peer] as const),
  );
  t.same(inOrder(pieces.map(([piece]) => piece)), [0, 1, 2], 'once');
  for (const [piece, peer] of pieces) t.not(peer, ['w', 'a', 'b'][piece], 'by another');
  const later = driver.mismatch('b');
  t.same(readsAgain(later), [], 'one dispute for all');
  for (const [said, peer] of [
    [read, 'a'],
    [later, 'b'],
  ] as const) {
    t.ok(isOver(said, peer));
    const own = new Set(pieces.filter(([, by]) => by === peer).map(([piece]) => piece));
    t.same(
      inOrder(told(said, peer).map(([piece]) => piece)),
      [0, 1, 2].filter((piece) => !own.has(piece)),
    );
  }
  t.end();
});

t.test(
  'a lost piece comes from its second reader, with its check sum; who has it otherwise gives it to nobody',
  (t) => {
    const first: [string, string][] = [
      ['w', 'wrong'],
      ['a', good(1)],
      ['b', good(2)],
    ];
    const driver = spread(first, ['w', 'a', 'b', 'c']);
    const read = readAll(driver, driver.mismatch('c'), (_, piece) => good(piece));
    const [, by] = told(read, 'c').find(([piece]) => piece === 0)!;
    const said = driver.lostPiece('c', 0);
    t.match(fetches(said), [{ peer: 'c', piece: 0, from: by, crc32: crcOf(good(0)) }]);
    t.same(leases(said), []);
    driver.peers('d');
    const ofNew = fetches(driver.want('d', { mib: 3 })).filter(({ piece }) => piece === 0);
    for (const { from } of ofNew) t.equal(from, by);
    driver.got('c', 0, by);
    t.same(blamed(driver.settled('c', 0, good(0))), ['w'], 'and who has read it first is known');
    t.end();
  },
);

t.test('who is blamed gives nothing and reads for nobody else, for a while', (t) => {
  const driver = spread(
    [
      ['w', 'wrong'],
      ['a', good(1)],
    ],
    ['w', 'a', 'b'],
  );
  readAll(driver, driver.mismatch('b'), (_, piece) => good(piece));
  driver.lostPiece('b', 0);
  const [first] = blamed(driver.settled('b', 0, good(0)));
  t.equal(first, 'w');
  t.same(blamed(driver.settled('b', 0, good(0))), [], 'once');
  driver.tell({ kind: 'leave', peer: 'w', digest: BLOB });
  driver.have('w', 2);
  driver.peers('n');
  const said = driver.want('n', { mib: 2 });
  t.ok(fetches(said).length > 0 && fetches(said).every(({ from }) => from !== 'w'));
  // A blob that nobody has: it reads it only while nobody else can, and its check sums are not believed.
  const blob = digest('another');
  driver.peers('m');
  const [lease] = leases(driver.want('w', { blob, mib: 2, origin: 'origin' }), 'w');
  driver.got('w', 0, undefined, { blob, crc32: 77 });
  driver.ended('w', lease!.lease, undefined, blob);
  const [other] = leases(driver.want('m', { blob, mib: 2, origin: 'origin' }), 'm');
  t.match(other, { run: { first: 0 } }, 'what it has counts for nothing');
  t.same(leases(driver.pass(1000), 'w'), []);
  driver.got('m', 0, undefined, { blob, crc32: 5 });
  driver.peers('k');
  t.match(fetches(driver.want('k', { blob, mib: 2 }), 'k'), [{ piece: 0, from: 'm', crc32: 5 }]);
  driver.tell({ kind: 'gone', peer: 'k' });
  driver.tell({ kind: 'gone', peer: 'm' });
  driver.pass(SUSPEND_MS);
  driver.peers('later');
  t.match(fetches(driver.want('later', { blob, mib: 2 }), 'later'), [{ piece: 0, from: 'w' }], 'then it is forgiven');
  t.end();
});

t.test('one that reads everything wrong is not believed as a second reader', (t) => {
  const peers = ['w', 'a', 'b'];
  const first: [string, string][] = [
    ['w', 'wrong 0'],
    ['a', good(1)],
    ['b', good(2)],
    ['w', 'wrong 3'],
    ['a', good(4)],
    ['b', good(5)],
  ];
  const driver = spread(first, peers);
  const read = readAll(driver, driver.mismatch('a'), (peer, piece) => (peer === 'w' ? `wrong ${piece}` : good(piece)));
  for (const [piece, by] of told(read, 'a')) if (by === 'w') t.equal(piece, -1, 'nothing by it that contradicts');
  const later = driver.mismatch('b');
  for (const peer of ['a', 'b']) {
    const differing = told([...read, ...later], peer).filter(([piece, , sha]) => sha !== `sha of ${first[piece]![1]}`);
    t.ok(
      differing.every(([piece]) => piece === 0 || piece === 3),
      `${peer} hears of what was wrong`,
    );
  }
  t.end();
});

t.test('a false second reading: nobody is blamed for it but its reader, and what was right is given again', (t) => {
  const driver = spread([['a', good(0)]], ['a', 'b', 'c', 'liar'], 'origin');
  const said = driver.mismatch('c');
  const [read] = readsAgain(said);
  t.not(read!.peer, 'a');
  const liar = read!.peer;
  readAll(driver, said, () => 'a lie');
  const victim = ['b', 'c', 'liar'].find((peer) => peer !== liar)!;
  driver.mismatch(victim);
  driver.lostPiece(victim, 0);
  // With the lie the digest stays wrong; from its own origin it has what was there first.
  t.same(blamed(driver.settled(victim, 0, good(0))), [liar]);
  driver.peers('n');
  const [fetch] = fetches(driver.want('n', { mib: 1 }));
  t.match(fetch, { piece: 0, crc32: crcOf(good(0)) });
  t.not(fetch!.from, liar);
  t.end();
});

t.test('a false result gets nobody suspended', (t) => {
  const driver = spread([['a', good(0)]], ['a', 'b', 'liar']);
  readAll(driver, driver.mismatch('liar'), (_, piece) => good(piece));
  t.same(blamed(driver.settled('liar', 0, 'a lie')), []);
  t.same(blamed(driver.settled('liar', 0, good(0))), []);
  t.match(driver.settled('a', 0, 'a lie'), [{ kind: 'reject', code: 'NO_DISPUTE' }], 'it had no dispute');
  const alone = spread([['a', good(0)]], ['a', 'liar']);
  const said = alone.mismatch('liar');
  t.match(readsAgain(said), [{ peer: 'liar' }]);
  readAll(alone, said, () => 'a lie');
  t.same(blamed(alone.settled('liar', 0, 'a lie')), [], 'a reader’s word for itself');
  t.end();
});

t.test('what cannot be true is refused, and a dispute that nobody can help with is over at once', (t) => {
  const driver = spread([['a', good(0)]], ['a', 'b']);
  t.match(driver.lostPiece('a', 7), [{ kind: 'reject', code: 'NO_SUCH_PIECE' }]);
  t.match(driver.settled('a', 7, ''), [{ kind: 'reject', code: 'NO_SUCH_PIECE' }]);
  t.match(driver.settled('a', 0, ''), [{ kind: 'reject', code: 'NO_DISPUTE' }]);
  t.match(driver.again('a', 1, 0, ''), [{ kind: 'reject', code: 'NOT_ASKED' }]);
  t.match(driver.again('a', 1, 7, ''), [{ kind: 'reject', code: 'NO_SUCH_PIECE' }]);
  driver.peers('c');
  driver.want('c', { mib: 1 });
  t.match(driver.mismatch('c').at(-1), { kind: 'dispute', isOver: true });
  t.match(driver.lostPiece('c', 0)[0], { kind: 'reject', code: 'NOT_HELD' });
  const alone = spread([['a', good(0)]], ['a']);
  t.match(alone.mismatch('a'), [{ kind: 'dispute', peer: 'a', isOver: true }]);
  t.end();
});

t.test('a second reader that falls silent, fails or leaves is replaced', (t) => {
  const driver = spread([['a', good(0)]], ['a', 'b', 'c', 'd']);
  const [one] = readsAgain(driver.mismatch('a'));
  const [two] = readsAgain(driver.pass(LEASE_SILENT_MS));
  t.not(two!.peer, one!.peer);
  const [three] = readsAgain(driver.ended(two!.peer, two!.lease, { code: 'ORIGIN_CUT', final: false }));
  t.notOk([one!.peer, two!.peer].includes(three!.peer));
  t.notOk(isOver(driver.take(), 'a'));
  t.ok(isOver(driver.tell({ kind: 'leave', peer: three!.peer, digest: BLOB }), 'a'), 'nobody is left');

  const other = spread([['a', good(0)]], ['a', 'b']);
  const [read] = readsAgain(other.mismatch('a'));
  other.pass(LEASE_SILENT_MS - 1);
  other.progress('b', read!.lease);
  t.notOk(isOver(other.pass(LEASE_SILENT_MS - 1), 'a'), 'bytes come');
  t.ok(isOver(other.pass(LEASE_SILENT_MS), 'a'));
  t.end();
});

t.test('who opens disputes for nothing is not listened to any more', (t) => {
  const driver = new Driver();
  driver.proveRanges();
  driver.peers('a', 'b');
  const open = (name: string) => {
    const digest = BLOB.replace(/.$/, name) as typeof BLOB;
    for (const peer of ['a', 'b']) driver.want(peer, { blob: digest, mib: 1, origin: 'origin' });
    driver.got('a', 0, undefined, { blob: digest });
    driver.got('b', 0, 'a', { blob: digest });
    return readsAgain(driver.tell({ kind: 'mismatch', peer: 'b', digest })).length;
  };
  for (let n = 0; n < VAIN_DISPUTES; n += 1) t.equal(open(String(n)), 1);
  t.equal(open('e'), 0);
  driver.pass(SUSPEND_MS);
  t.equal(open('f'), 1);
  t.end();
});

t.test('bytes that are not what an old check sum says are nobody’s fault while the piece is disputed', (t) => {
  const driver = spread(
    [
      ['w', 'wrong'],
      ['a', good(1)],
    ],
    ['w', 'a', 'b'],
  );
  readAll(driver, driver.mismatch('b'), (_, piece) => good(piece));
  for (const peer of ['w', 'b']) driver.tell({ kind: 'peer', peer, reachable: false });
  const asked = { mib: 2, awaited: [{ first: 0, count: 1 }] };
  for (const peer of ['f', 'g', 'h']) {
    driver.peers(peer);
    t.match(fetches(driver.want(peer, asked)), [{ piece: 0, from: 'a' }]);
    driver.failed(peer, 0, 'a', 'bad');
  }
  driver.peers('n');
  t.match(fetches(driver.want('n', { mib: 2, awaited: [{ first: 1, count: 1 }] })), [{ piece: 1, from: 'a' }]);
  t.end();
});

t.test('a piece on its way while it is contested does not count as the right one', (t) => {
  const driver = spread(
    [
      ['w', 'wrong'],
      ['a', good(1)],
      ['b', good(2)],
    ],
    ['w', 'a', 'b'],
  );
  driver.peers('late');
  const late = fetches(driver.want('late', { mib: 3 })).filter(({ piece }) => piece === 0);
  // The first in turn for what w has read is a.
  readAll(driver, driver.mismatch('b'), (_, piece) => good(piece));
  driver.lostPiece('b', 0);
  t.equal(late.length, 1);
  const said = driver.got('late', 0, late[0]!.from, { crc32: crcOf('wrong') });
  said.push(...driver.pass(2 * WAIT_REPEAT_MS));
  // The only one who has it right goes.
  said.push(...driver.tell({ kind: 'gone', peer: 'a' }), ...driver.failed('b', 0, 'a', 'reset'));
  said.push(...driver.pass(2 * WAIT_REPEAT_MS));
  t.same(
    fetches(said, 'b').map(({ piece, from }) => [piece, from]),
    [[0, 'a']],
  );
  t.end();
});
