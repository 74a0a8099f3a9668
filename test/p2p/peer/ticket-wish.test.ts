import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import type { Reports } from '../../../src/p2p/peer/remote-coordinator.ts';
import { TicketPieces } from '../../../src/p2p/peer/ticket-pieces.ts';
import { TicketWish } from '../../../src/p2p/peer/ticket-wish.ts';
import { MAX_PIECES, MAX_RUNS } from '../../../src/p2p/protocol/limits.ts';
import { encode, parseFromProxy, type FromProxy } from '../../../src/p2p/protocol/messages.ts';
import { packCrcs, packPieces } from '../../../src/p2p/protocol/packed.ts';

const digest = digestOf('a blob');
const sha256 = 'x'.repeat(43);

/** Wish 3 of a session that knows lease 1 as 501 and `peer-b-00` as 7. */
function start() {
  const sent: FromProxy[] = [];
  const send = (message: FromProxy) => void sent.push(parseFromProxy(encode(message)));
  const left: number[] = [];
  let reports: Reports | undefined;
  const flushReports = () => {
    if (reports) send(reports);
    reports = undefined;
  };
  const wish = new TicketWish({
    link: { epoch: 'epoch-01', rttMs: 1, send },
    host: {
      reports: () => (reports ??= { t: 'r' }),
      flushReports,
      numberOf: (peer) => (peer === 'peer-b-00' ? 7 : -1),
      leave: (wish) => void left.push(wish),
    },
    number: 3,
    remoteOf: (lease) => (lease === 1 ? 501 : undefined),
  });
  const take = () => {
    flushReports();
    return sent.splice(0);
  };
  return { wish, left, take };
}

t.test('the first word, with the check sums of what is here before it, and behind what was said so far', (t) => {
  const { wish, take } = start();
  const pieces = new TicketPieces({ held: [3, 4], crcs: new Map([[4, 44]]), pieceCount: 10, size: 10 * MiB });
  pieces.awaiting([{ first: 0, count: 4 }]);
  wish.dispute();
  wish.open({ digest, origin: 'x', image: digestOf('image') }, pieces, [[2 ** 52 + 1, 5, 0]]);
  t.same(take(), [
    { t: 'r', d: [3] },
    { t: 'announce', epoch: 'epoch-01', parts: [[digest, 10 * MiB, packPieces([4], 10), packCrcs([44])]] },
    {
      t: 'want',
      epoch: 'epoch-01',
      w: 3,
      digest,
      size: 10 * MiB,
      held: packPieces([3, 4], 10),
      awaited: [[0, 4]],
      origin: 'x',
      image: digestOf('image'),
      reading: [[2 ** 52 + 1, 5, 0]],
    },
  ]);
  t.end();
});

t.test('what is not known, or not there, is left out', (t) => {
  const { wish, take } = start();
  const pieces = new TicketPieces({ held: [], pieceCount: undefined });
  wish.open({ digest }, pieces, []);
  t.same(take(), [{ t: 'want', epoch: 'epoch-01', w: 3, digest, held: '', awaited: [] }]);
  t.end();
});

t.test('what is awaited is said when it changes, within what a message takes', (t) => {
  const { wish, take } = start();
  const pieces = new TicketPieces({ held: [], pieceCount: 10, size: 10 * MiB });
  pieces.awaiting([{ first: 1, count: Number.POSITIVE_INFINITY }]);
  wish.open({ digest }, pieces, []);
  take();
  wish.awaiting([{ first: 1, count: Number.POSITIVE_INFINITY }]);
  t.same(take(), []);
  wish.report({ kind: 'lost', piece: 2 });
  wish.awaiting([
    { first: 1, count: 2 * MAX_PIECES },
    { first: MAX_PIECES, count: 1 },
  ]);
  t.same(take(), [
    { t: 'r', x: [[3, 2]] },
    { t: 'awaiting', w: 3, awaited: [[1, MAX_PIECES]] },
  ]);
  wish.awaiting(Array.from({ length: MAX_RUNS + 1 }, (_, n) => ({ first: 2 * n, count: 1 })));
  t.match(take(), [{ awaited: { length: MAX_RUNS } }]);
  wish.awaiting([]);
  t.same(take(), [{ t: 'awaiting', w: 3, awaited: [] }]);
  t.end();
});

t.test('each report, and none of a lease that the session does not know', (t) => {
  const { wish, take } = start();
  wish.report({ kind: 'pieces', pieceCount: 4, size: 4 * MiB });
  wish.report({ kind: 'no-ranges' });
  wish.report({ kind: 'piece', piece: 0, crc32: 5, source: 'origin', ms: -2 });
  wish.report({ kind: 'piece', piece: 1, crc32: 6, source: 'peers', from: 'peer-b-00', ms: 12 });
  wish.report({ kind: 'piece', piece: 2, crc32: 7, source: 'peers', from: 'peer-of-old' });
  wish.report({ kind: 'failed', piece: 3, from: 'peer-b-00', reason: 'bad' });
  for (const lease of [1, 2]) {
    wish.report({ kind: 'progress', lease });
    wish.report({ kind: 'reading', lease, piece: 0, crc32: 5, sha256 });
    wish.report({ kind: 'ended', lease });
  }
  wish.report({ kind: 'lost', piece: 1 });
  wish.report({ kind: 'settled', piece: 1, crc32: 9 });
  wish.dispute();
  t.same(take(), [
    {
      t: 'r',
      s: [[3, 4 * MiB]],
      n: [3],
      p: [
        [3, 0, 0, 0, 5],
        [3, 1, 7, 12, 6],
        [3, 2, -1, 0, 7],
      ],
      f: [[3, 3, 7, 4]],
      g: [[3, 501]],
      q: [[3, 501, 0, 5, sha256]],
      e: [[3, 501, '', 0, 0]],
      x: [[3, 1]],
      y: [[3, 1, 9]],
      d: [3],
    },
  ]);
  wish.report({ kind: 'progress', lease: 2 });
  t.same(take(), [], 'not even an empty message');
  t.end();
});

t.test('why a lease ended', (t) => {
  const { wish, take } = start();
  wish.report({ kind: 'ended', lease: 1, failure: { code: 'X'.repeat(100), final: true, retryAfterMs: -1 } });
  wish.report({ kind: 'ended', lease: 1, failure: { code: '', final: false, retryAfterMs: 30 } });
  t.match(take(), [
    {
      e: [
        [3, 501, 'X'.repeat(64), 1, 0],
        [3, 501, 'UNKNOWN', 0, 30],
      ],
    },
  ]);
  t.end();
});

t.test('the last word', (t) => {
  const { wish, left } = start();
  wish.leave();
  t.same(left, [3]);
  t.end();
});
