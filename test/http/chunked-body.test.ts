import fc from 'fast-check';
import t from 'tap';
import { ChunkedBody } from '../../src/http/chunked-body.ts';

/** Feeds bytes cut at these positions; what was inside, and how many bytes were taken. */
function feed(bytes: Buffer, cuts: readonly number[] = []): { inside: Buffer; taken: number; isOver: boolean } {
  const got: Buffer[] = [];
  const body = new ChunkedBody((chunk) => void got.push(Buffer.from(chunk)));
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let taken = 0;
  for (let n = 1; n < places.length && !body.isOver; n += 1)
    taken += body.feed(bytes.subarray(places[n - 1], places[n]));
  return { inside: Buffer.concat(got), taken, isOver: body.isOver };
}

const chunked = (chunks: readonly Uint8Array[], { extension = '', trailers = '' } = {}) =>
  Buffer.concat([
    ...chunks.flatMap((chunk) => [
      Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`),
      chunk,
      Buffer.from('\r\n'),
    ]),
    Buffer.from(`0\r\n${trailers}\r\n`),
  ]);

t.test(
  'whatever the chunks and wherever the bytes are cut, it gives what is inside and leaves what follows',
  async () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 }),
        fc.constantFrom('', ';a=b', ' ; x="1"'),
        fc.constantFrom('', 'Digest: x\r\n', 'A: 1\r\nB: 2\r\n'),
        fc.array(fc.nat(5000), { maxLength: 30 }),
        fc.uint8Array({ maxLength: 20 }),
        (chunks, extension, trailers, cuts, behind) => {
          const body = chunked(chunks, { extension, trailers });
          const { inside, taken, isOver } = feed(Buffer.concat([body, behind]), cuts);
          return isOver && taken === body.length && inside.equals(Buffer.concat(chunks));
        },
      ),
    );
  },
);

t.test('what is no chunk is an error', async (t) => {
  for (const bad of [
    'x\r\n',
    '\r\n',
    '-1\r\n',
    '1\n',
    '1\r\naa\r\n',
    '1\r\na\n',
    `${'1'.repeat(13)}\r\n`,
    'f'.repeat(2000),
  ]) {
    t.throws(() => feed(Buffer.from(bad)), { code: 'BAD_RESPONSE_HEAD' }, JSON.stringify(bad.slice(0, 20)));
  }
  t.throws(() => feed(Buffer.from(`0\r\n${'A: b\r\n'.repeat(100)}\r\n`)), /too many trailers/);
  t.equal(feed(Buffer.from('5\r\nab')).isOver, false, 'more is to come');
});
