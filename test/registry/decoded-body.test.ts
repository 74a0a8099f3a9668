import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import type { ByteSink } from '../../src/http/byte-sink.ts';
import { DecodedBody } from '../../src/registry/decoded-body.ts';
import { RangeFilter } from '../../src/registry/range-filter.ts';

t.test('what comes in may be overwritten as soon as it is taken', async (t) => {
  const content = randomBytes(3_000_000);
  const encoded = gzipSync(content);
  const got: Buffer[] = [];
  const sink: ByteSink = {
    head: () => undefined,
    write: (chunk) => got.push(Buffer.from(chunk)) > 0,
    drained: () => Promise.resolve(),
  };
  const filter = new RangeFilter(sink, { start: 0, end: Number.POSITIVE_INFINITY, skip: 0, stopAtEnd: false });
  const errand = { upstream: 'registry.test', step: 'reading a blob' };
  const body = new DecodedBody('gzip', filter, sink, errand, new AbortController().signal);
  // As a reader's one buffer is used again for what comes next.
  const buffer = Buffer.alloc(4096);
  for (let start = 0; start < encoded.length; start += buffer.length) {
    const length = encoded.copy(buffer, 0, start, start + buffer.length);
    if (body.write(buffer.subarray(0, length)) === 'hold') await body.drained();
    buffer.fill(0);
  }
  await body.end();
  t.ok(Buffer.concat(got).equals(content));
});
