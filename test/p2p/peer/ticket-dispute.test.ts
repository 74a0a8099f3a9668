import t from 'tap';
import { TicketDispute } from '../../../src/p2p/peer/ticket-dispute.ts';
import type { Assignment } from '../../../src/p2p/protocol/coordinator.ts';

function start() {
  const told: Assignment[] = [];
  return { dispute: new TicketDispute((assignment) => told.push(assignment)), take: () => told.splice(0) };
}

t.test('leases to read again are told, and known until they are over or their session is', (t) => {
  const { dispute, take } = start();
  dispute.granted(1, 500, { first: 0, count: 2 });
  dispute.granted(2, 501, { first: 2, count: 1 });
  t.match(take(), [
    { kind: 'read-again', lease: 1, run: { first: 0, count: 2 } },
    { kind: 'read-again', lease: 2 },
  ]);
  t.equal(dispute.remoteOf(1), 500);
  dispute.ended(1);
  t.equal(dispute.remoteOf(1), undefined);
  t.equal(dispute.remoteOf(2), 501);
  dispute.lost();
  t.equal(dispute.remoteOf(2), undefined);
  t.end();
});

t.test('a dispute is over when nobody is there to settle it, which is told a little later, once', async (t) => {
  const { dispute, take } = start();
  dispute.alone();
  await Promise.resolve();
  t.same(take(), [], 'there is none');
  dispute.open();
  dispute.lost();
  t.ok(dispute.isOpen, 'the next supernode is to help');
  dispute.granted(1, 500, { first: 0, count: 1 });
  take();
  dispute.alone();
  t.notOk(dispute.isOpen);
  t.equal(dispute.remoteOf(1), undefined);
  t.same(take(), [], 'not within the call');
  dispute.alone();
  await Promise.resolve();
  t.same(take(), [{ kind: 'dispute', isOver: true }]);
});
