import fc from 'fast-check';
import t from 'tap';
import { BadResponseHead, MAX_RESPONSE_HEAD_BYTES } from '../../../src/http/response-head.ts';
import { ResponseHeadParser, type ResponseHead } from '../../../src/p2p/peer/response-head.ts';

/** Parses bytes cut at the positions named; the head, and how many bytes of them it took. */
function parse(bytes: Buffer, cuts: readonly number[] = []): { head: ResponseHead | undefined; length: number } {
  const parser = new ResponseHeadParser();
  let length = 0;
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].toSorted((a, b) => a - b);
  let start = 0;
  for (const end of ends) {
    const chunk = Buffer.from(bytes.subarray(start, end));
    start = end;
    length += parser.feed(chunk);
    // The buffer is used again by the next read.
    chunk.fill(0xee);
    if (parser.head) break;
  }
  return { head: parser.head, length };
}

function head(...lines: string[]): Buffer {
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

const PIECE = head(
  'HTTP/1.1 206 Partial Content',
  'Content-Length: 100',
  'content-range:\tbytes 0-99/1000 ',
  'Connection: keep-alive',
  'Keep-Alive: timeout=60',
);

t.test('the head of a piece, and of refusals', (t) => {
  t.strictSame(parse(Buffer.concat([PIECE, Buffer.from('body\r\n\r\n')])), {
    head: {
      status: 206,
      contentLength: 100,
      contentRange: { start: 0, end: 100, total: 1000 },
      keepAlive: true,
      reason: undefined,
      shown: undefined,
    },
    length: PIECE.length,
  });
  t.match(parse(head('HTTP/1.1 503 Busy', 'X-Hawker-Reason: busy', 'Content-Length: 0')).head, {
    status: 503,
    reason: 'busy',
    contentLength: 0,
    keepAlive: true,
  });
  t.match(parse(head('HTTP/1.1 206', 'Content-Length: 0', 'X-Hawker-Shown: whole *')).head, {
    shown: { at: 'all', isWhole: true },
  });
  t.match(parse(head('HTTP/1.1 403', 'Content-Length: 0', 'Connection: close')).head, {
    status: 403,
    keepAlive: false,
  });
  t.match(parse(head('HTTP/1.1 416 No', 'Content-Length: 0', 'Content-Range: bytes */12')).head, {
    status: 416,
    contentRange: undefined,
  });
  t.end();
});

t.test('a plain Uint8Array does as well as a Buffer', (t) => {
  const parser = new ResponseHeadParser();
  t.equal(parser.feed(new Uint8Array(PIECE)), PIECE.length);
  t.equal(parser.head?.status, 206);
  t.end();
});

t.test('anything else is an error', (t) => {
  const length = 'Content-Length: 1';
  for (const bad of [
    head('HTTP/1.0 200 OK', length),
    head('HTTP/1.1 100 Continue', length),
    head('HTTP/1.1 2000 OK', length),
    head('HTTP/2 200', length),
    head('SSH-2.0-OpenSSH_9.2'),
    head('', length),
    head('HTTP/1.1 200 OK'),
    head('HTTP/1.1 200 OK', 'Content-Length: -1'),
    head('HTTP/1.1 200 OK', 'Content-Length: 1, 1'),
    head('HTTP/1.1 200 OK', 'Content-Length: 0x10'),
    head('HTTP/1.1 200 OK', 'Content-Length: 99999999999999999999'),
    head('HTTP/1.1 200 OK', length, length),
    head('HTTP/1.1 200 OK', length, 'Transfer-Encoding: chunked'),
    head('HTTP/1.1 200 OK', length, 'Transfer-Encoding: identity'),
    head('HTTP/1.1 200 OK', 'Content-Length : 1'),
    head('HTTP/1.1 200 OK', length, ' folded'),
    head('HTTP/1.1 200 OK', length, 'no colon'),
    head('HTTP/1.1 200 OK', length, 'X: a\0b'),
    head('HTTP/1.1 200 OK', length, 'X: a\nY: b'),
    head('HTTP/1.1 206 OK', length, 'Content-Range: bytes 5-4/10'),
    head('HTTP/1.1 206 OK', length, 'Content-Range: items 0-0/10'),
    head('HTTP/1.1 206 OK', length, 'Content-Range: bytes 0-10/10'),
  ]) {
    t.throws(() => parse(bad), { name: 'BadResponseHead' }, JSON.stringify(bad.toString('latin1')));
  }
  t.end();
});

t.test('a head that does not end is given up at 64 KiB', (t) => {
  const start = Buffer.from('HTTP/1.1 200 OK\r\nX: ');
  const fill = (bytes: number) => Buffer.concat([start, Buffer.alloc(bytes - start.length, 'a')]);
  t.equal(parse(fill(MAX_RESPONSE_HEAD_BYTES)).head, undefined, 'it may still end');
  t.throws(() => parse(fill(MAX_RESPONSE_HEAD_BYTES + 1)), { name: 'BadResponseHead' });
  t.throws(() => parse(fill(MAX_RESPONSE_HEAD_BYTES + 1), [10, 1000, 60_000]), { name: 'BadResponseHead' });
  const long = Buffer.concat([fill(MAX_RESPONSE_HEAD_BYTES), Buffer.from('\r\nContent-Length: 0\r\n\r\n')]);
  t.throws(() => parse(long), { name: 'BadResponseHead' }, 'also when it ends in the same chunk');
  t.end();
});

t.test('property: however the bytes are cut, the head and its length are the same', (t) => {
  const fieldName = fc.constantFrom('Date', 'Server', 'X-Other', 'ETag').map((name) => `${name}-${name.length}`);
  fc.assert(
    fc.property(
      fc.record({
        status: fc.integer({ min: 200, max: 599 }),
        start: fc.nat(1e9),
        length: fc.integer({ min: 1, max: 1e9 }),
        more: fc.nat(1e9),
        keepAlive: fc.boolean(),
        other: fc.option(fc.tuple(fieldName, fc.stringMatching(/^[ -~]{0,20}$/))),
        body: fc.uint8Array({ maxLength: 50 }),
      }),
      fc.array(fc.nat(400), { maxLength: 12 }),
      ({ status, start, length, more, keepAlive, other, body }, cuts) => {
        const total = start + length + more;
        const bytes = head(
          `HTTP/1.1 ${status} Some words`,
          `Content-Length: ${length}`,
          `Content-Range: bytes ${start}-${start + length - 1}/${total}`,
          `Connection: ${keepAlive ? 'keep-alive' : 'close'}`,
          ...(other ? [`${other[0]}: ${other[1]}`] : []),
        );
        t.strictSame(parse(Buffer.concat([bytes, body]), cuts), {
          head: {
            status,
            contentLength: length,
            contentRange: { start, end: start + length, total },
            keepAlive,
            reason: undefined,
            shown: undefined,
          },
          length: bytes.length,
        });
      },
    ),
    { numRuns: 300 },
  );
  t.end();
});

t.test('property: garbage is refused, or not yet whole, but never understood by halves', (t) => {
  const alphabet = fc.constantFrom(
    '\r',
    '\n',
    '\r\n',
    ':',
    ' ',
    'HTTP/1.1 200 OK',
    'Content-Length: 1',
    'a',
    '\0',
    'é',
  );
  const text = fc.array(alphabet, { maxLength: 30 }).map((parts) => Buffer.from(parts.join(''), 'latin1'));
  const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(text, noise), fc.array(fc.nat(300), { maxLength: 5 }), (bytes, cuts) => {
      const outcome = (cut: readonly number[]) => {
        try {
          return parse(bytes, cut);
        } catch (error) {
          if (!(error instanceof BadResponseHead)) throw error;
          return 'refused';
        }
      };
      const whole = outcome([]);
      t.strictSame(outcome(cuts), whole);
      if (whole !== 'refused' && whole.head) t.ok(whole.length <= bytes.length && whole.head.contentLength === 1);
    }),
    { numRuns: 500 },
  );
  t.end();
});
