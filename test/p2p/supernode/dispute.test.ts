import fc from 'fast-check';
import t from 'tap';
import { Dispute } from '../../../src/p2p/supernode/dispute.ts';
import { Blob } from '../../../src/p2p/supernode/state.ts';
import { BLOB } from './driver.ts';

function disputeOf(firstReaders: readonly string[]): Dispute {
  const blob = new Blob(BLOB);
  blob.firstReaders.push(...firstReaders);
  Object.defineProperty(blob, 'pieces', { value: { count: firstReaders.length } });
  return new Dispute(blob, 'opener');
}

t.test('of two peers one reads again for the other, never both for each other; each has somebody', (t) => {
  const peers = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,4}$/), { minLength: 3, maxLength: 20 });
  fc.assert(
    fc.property(peers, (names) => {
      const dispute = disputeOf(names);
      for (const one of names) {
        const readers = names.filter((other) => other !== one && dispute.isInTurn(one, other));
        if (readers.length === 0) return false;
        if (readers.some((other) => dispute.isInTurn(other, one))) return false;
      }
      return true;
    }),
  );
  const two = disputeOf(['a', 'b']);
  t.ok(two.isInTurn('a', 'b') && two.isInTurn('b', 'a'), 'two have only each other');
  t.end();
});
