import t from 'tap';
import { TicketLeases } from '../../../src/p2p/peer/ticket-leases.ts';
import type { Assignment } from '../../../src/p2p/protocol/coordinator.ts';
import { MAX_READS, OWN_LEASES } from '../../../src/p2p/protocol/limits.ts';

function start() {
  const told: Assignment[] = [];
  const leases = new TicketLeases((assignment) => told.push(assignment));
  const grant = (first: number, last: number, remote?: number) => {
    const id = leases.newId();
    leases.grant(id, { remote, first, last });
    return id;
  };
  return { leases, grant, take: () => told.splice(0) };
}

t.test('grants and cuts are told under one numbering, whoever granted', (t) => {
  const { leases, grant, take } = start();
  const a = grant(0, 9, 500);
  const b = grant(10, Number.POSITIVE_INFINITY);
  t.same(take(), [
    { kind: 'lease', lease: a, run: { first: 0, count: 10 } },
    { kind: 'lease', lease: b, run: { first: 10, count: Number.POSITIVE_INFINITY } },
  ]);
  t.equal(leases.byRemote(500), a);
  t.equal(leases.byRemote(501), undefined);
  t.equal(leases.remoteOf(a), 500);
  t.equal(leases.remoteOf(b), undefined);
  leases.cut(a, 4);
  leases.cut(a, 7);
  leases.cut(b, 12);
  leases.cut(77, 1);
  leases.cut(undefined, 1);
  t.same(
    take(),
    [
      { kind: 'cut', lease: a, last: 4 },
      { kind: 'cut', lease: b, last: 12 },
    ],
    'only what makes one of them shorter',
  );
  leases.forgetRemote();
  t.equal(leases.byRemote(500), undefined);
  t.end();
});

t.test('how far each is, and what is still to come', (t) => {
  const { leases, grant } = start();
  t.notOk(leases.areReading);
  const a = grant(0, 1);
  const b = grant(5, Number.POSITIVE_INFINITY);
  t.same([...leases.coming()], [0, 1], 'of one without an end nobody knows');
  leases.clip(7);
  t.same([...leases.coming()], [0, 1, 5, 6]);
  leases.came(0);
  leases.came(6);
  t.same([...leases.coming()], [1, 5, 6], 'a piece that came another way is read all the same');
  leases.came(1);
  t.equal(leases.ended(a), 'whole');
  t.equal(leases.ended(a), undefined, 'it is over');
  t.ok(leases.areReading);
  leases.came(5);
  t.equal(leases.ended(b), 'early');
  t.notOk(leases.areReading);
  t.end();
});

t.test('a new session learns of those that go on, under numbers that no supernode gives', (t) => {
  const { leases, grant } = start();
  const done = grant(0, 0, 500);
  leases.came(0);
  const half = grant(1, 4, 501);
  leases.came(1);
  const endless = grant(9, Number.POSITIVE_INFINITY);
  leases.forgetRemote();
  t.same(leases.renumbered(), [
    [OWN_LEASES + half, 2, 3],
    [OWN_LEASES + endless, 9, 0],
  ]);
  t.equal(leases.byRemote(OWN_LEASES + half), half);
  t.equal(leases.remoteOf(done), undefined);
  for (let n = 0; n < MAX_READS; n += 1) grant(20 + n, 20 + n);
  t.equal(leases.renumbered().length, MAX_READS, 'as many as the message takes');
  t.end();
});
