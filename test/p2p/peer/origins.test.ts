import t from 'tap';
import { digestOf } from '../../../src/base/digest.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { BufferPool } from '../../../src/http/buffer-pool.ts';
import { BlobWrongSize } from '../../../src/p2p/peer/errors.ts';
import { Origins } from '../../../src/p2p/peer/origins.ts';
import { RunWriter } from '../../../src/p2p/peer/run-writer.ts';
import { OriginBadResponse, OriginTls } from '../../../src/registry/errors.ts';
import { ScriptedSource } from '../../support/scripted-source.ts';

const BYTES = Buffer.alloc(300_000, 'bytes');
const DIGEST = digestOf(BYTES);
const never = new AbortController().signal;
const failure = { upstream: 'origin.test', step: 'reading a blob of app', seen: 'a web page instead of a blob' };

/** Reads of one blob; gives how each ended. */
function reads(source: ScriptedSource) {
  const origins = new Origins(DIGEST, source, silentLogger);
  const pool = new BufferPool();
  return async (start = 0) => {
    const target = {
      begin: () => undefined,
      came: () => undefined,
      isAwaited: () => true,
      mayReadTo: () => Number.POSITIVE_INFINITY,
      flowChanged: () => Promise.resolve(),
      store: () => Promise.resolve(),
    };
    const writer = new RunWriter(target, pool, start, BYTES.length);
    const ended = await origins.read(writer, { end: BYTES.length, blobSize: BYTES.length }, never, () => undefined);
    await writer.finish();
    return ended;
  };
}

t.test('an odd answer is tried again: the third in a row is the last', async (t) => {
  const source = new ScriptedSource(BYTES);
  const read = reads(source);
  const odd = { error: new OriginBadResponse(failure) };
  source.mishaps.push(odd, odd, {});
  t.match(await read(), { code: 'ORIGIN_BAD_RESPONSE', final: false });
  t.match(await read(), { code: 'ORIGIN_BAD_RESPONSE', final: false });
  t.equal(await read(), undefined, 'it gives the bytes after all');
  const size = new BlobWrongSize({ digest: DIGEST, expected: BYTES.length, actual: 20, source: 'the origin' });
  source.mishaps.push(odd, { error: size }, odd);
  t.match(await read(), { final: false }, 'bytes have come since');
  t.match(await read(), { code: 'BLOB_WRONG_SIZE', final: false });
  t.match(await read(), { code: 'ORIGIN_BAD_RESPONSE', final: true });
  t.match(await read(), { final: true }, 'there is no other');
});

t.test('what no other try can mend is final at once', async (t) => {
  const source = new ScriptedSource(BYTES);
  source.mishaps.push({ error: new OriginTls(failure) });
  t.match(await reads(source)(), { code: 'ORIGIN_TLS', final: true });
});
