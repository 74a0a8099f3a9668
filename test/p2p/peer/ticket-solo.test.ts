import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { TicketLeases } from '../../../src/p2p/peer/ticket-leases.ts';
import { TicketSolo } from '../../../src/p2p/peer/ticket-solo.ts';
import type { Assignment, Coordinator, PieceRun, Report, Want } from '../../../src/p2p/protocol/coordinator.ts';
import { targetOf } from '../../support/scripted-neighbours.ts';

const want: Want = { digest: digestOf('a blob'), pieceCount: 10, held: [] };

/** The solo coordinator is the test. */
function start() {
  const told: Assignment[] = [];
  const leases = new TicketLeases((assignment) => told.push(assignment));
  const open = () => {
    const reports: Report[] = [];
    const awaited: (readonly PieceRun[])[] = [];
    let assign!: (assignment: Assignment) => void;
    let closed = 0;
    const coordinator: Coordinator = {
      want: (wanted, listener) => {
        t.equal(wanted, want);
        assign = listener;
        return {
          awaiting: (runs) => void awaited.push(runs),
          report: (report) => void reports.push(report),
          dispute: () => false,
          close: () => (closed += 1),
        };
      },
    };
    const solo = new TicketSolo(coordinator, want, leases, (assignment) => told.push(assignment));
    return { solo, assign, awaited, takeReports: () => reports.splice(0), closed: () => closed };
  };
  return { leases, open, take: () => told.splice(0) };
}

t.test('its leases have numbers of their own, here and there', (t) => {
  const { leases, open, take } = start();
  const bySupernode = leases.newId();
  leases.grant(bySupernode, { remote: 500, first: 8, last: 9 });
  take();
  const { solo, assign, takeReports } = open();
  assign({ kind: 'lease', lease: 1, run: { first: 0, count: 4 } });
  assign({ kind: 'lease', lease: 2, run: { first: 4, count: 4 } });
  t.match(take(), [
    { kind: 'lease', lease: 2, run: { first: 0, count: 4 } },
    { kind: 'lease', lease: 3, run: { first: 4, count: 4 } },
  ]);
  assign({ kind: 'cut', lease: 2, last: 5 });
  assign({ kind: 'cut', lease: 7, last: 1 });
  t.same(take(), [{ kind: 'cut', lease: 3, last: 5 }]);
  const failure = { code: 'ORIGIN_CUT', final: false };
  solo.report({ kind: 'progress', lease: 2 });
  solo.report({ kind: 'progress', lease: bySupernode });
  solo.report({ kind: 'ended', lease: bySupernode, failure });
  t.ok(solo.hasGranted(3));
  solo.report({ kind: 'ended', lease: 3, failure });
  t.notOk(solo.hasGranted(3));
  solo.report({ kind: 'progress', lease: 3 });
  t.same(
    takeReports(),
    [
      { kind: 'progress', lease: 1 },
      { kind: 'ended', lease: 2, failure },
    ],
    'what others granted, or is over, does not concern it',
  );
  assign({ kind: 'cut', lease: 2, last: 4 });
  t.same(take(), []);
  t.end();
});

t.test('alone once more, it knows nothing of the leases of the last time', (t) => {
  const { leases, open, take } = start();
  const first = open();
  first.assign({ kind: 'lease', lease: 1, run: { first: 0, count: 4 } });
  first.solo.close();
  t.equal(first.closed(), 1);
  const second = open();
  second.assign({ kind: 'lease', lease: 1, run: { first: 4, count: 4 } });
  take();
  t.notOk(second.solo.hasGranted(1));
  second.solo.report({ kind: 'ended', lease: 1 });
  t.same(second.takeReports(), []);
  t.ok(second.solo.hasGranted(2));
  t.same([...leases.coming()], [0, 1, 2, 3, 4, 5, 6, 7], 'while the reads of all times go on');
  t.end();
});

t.test('all else passes as it is', (t) => {
  const { open, take } = start();
  const { solo, assign, awaited, takeReports } = open();
  const assignments: Assignment[] = [
    { kind: 'fetch', piece: 1, from: targetOf('peer-a'), crc32: undefined },
    { kind: 'none' },
    { kind: 'dispute', isOver: true },
  ];
  for (const assignment of assignments) assign(assignment);
  t.same(take(), assignments);
  const reports: Report[] = [
    { kind: 'no-ranges' },
    { kind: 'piece', piece: 1, crc32: 5, source: 'peers' },
    { kind: 'failed', piece: 2, from: 'peer-a', reason: 'gone' },
  ];
  for (const report of reports) solo.report(report);
  t.same(takeReports(), reports);
  solo.awaiting([{ first: 0, count: 3 }]);
  t.same(awaited, [[{ first: 0, count: 3 }]]);
  t.end();
});
