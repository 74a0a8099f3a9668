import fc from 'fast-check';
import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { PrefixHash } from '../../../src/p2p/peer/prefix-hash.ts';
import { LocalSums } from '../../../src/p2p/peer/sums.ts';

t.test('bytes in any order hash to the digest, read back where they came early', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc.infiniteStream(fc.nat()),
      async (bytes, random) => {
        const digest = digestOf(bytes);
        const hash = new PrefixHash(new LocalSums('sha256'));
        const spans: number[] = [];
        for (let at = 0; at < bytes.length; at += 10) spans.push(at);
        spans.sort(() => (random.next().value % 3) - 1);
        const written = new Set<number>();
        const endOfPrefix = () => {
          let end = 0;
          while (written.has(end)) end = Math.min(bytes.length, end + 10);
          return end;
        };
        const read = (buffer: Uint8Array, position: number) => {
          const count = Math.min(buffer.length, 7);
          buffer.set(bytes.subarray(position, position + count));
          return Promise.resolve(count);
        };
        let isLent = false;
        const lend = (position: number, length: number) => {
          // Every third position or so is still in memory.
          if (isLent || position % 3 !== 0) return undefined;
          isLent = true;
          const release = () => {
            isLent = false;
          };
          return { bytes: bytes.subarray(position, position + Math.min(length, 4)), release };
        };
        for (const at of spans) {
          void hash.feed(bytes.subarray(at, at + 10), at, []);
          written.add(at);
          const from = { read, lend };
          const first = hash.catchUp(from, endOfPrefix);
          await Promise.all([first, hash.catchUp(from, endOfPrefix)]);
        }
        return hash.cursor === bytes.length && !isLent && hash.finish() === digest;
      },
    ),
    { numRuns: 50 },
  );
});

t.test('what is not there to be read back is an error, not a wait for ever', async (t) => {
  const hash = new PrefixHash(new LocalSums('sha256'));
  await t.rejects(
    hash.catchUp({ read: () => Promise.resolve(0), lend: () => undefined }, () => 1),
    /nothing to read back at byte 0/,
  );
  await hash.feed(Buffer.from('x'), 0, []);
  t.equal(hash.finish(), digestOf('x'), 'and the hash can go on');
});
