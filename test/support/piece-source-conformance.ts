import type { Test } from 'tap';
import { CodedError } from '../../src/base/errors.ts';
import type { ByteRange } from '../../src/http/byte-sink.ts';
import type { PieceSource } from '../../src/p2p/peer/piece-source.ts';
import { failureOf, KeepingSink, never } from './registry-client.ts';

/** A source of a blob, and what the suite needs to do to it. */
export interface SourceUnderTest {
  readonly source: PieceSource;
  readonly bytes: Buffer;
  /** The next read breaks off after about so many bytes. */
  readonly breakAfter: (bytes: number) => void;
}

/** Aborts its own read once so many bytes have come. */
class AbortingSink extends KeepingSink {
  readonly #afterBytes: number;
  readonly #abort: () => void;

  constructor(afterBytes: number, abort: () => void) {
    super();
    this.#afterBytes = afterBytes;
    this.#abort = abort;
  }

  override write(chunk: Uint8Array): boolean {
    const goOn = super.write(chunk);
    if (this.length >= this.#afterBytes) this.#abort();
    return goOn;
  }
}

/** What every `PieceSource` does. `make` gives one whose blob has about a megabyte; what it opens, it closes with the test. */
export function pieceSourceConformance(t: Test, make: (t: Test) => Promise<SourceUnderTest>): void {
  t.test('gives exactly the range, behind one head', async (t) => {
    const { source, bytes } = await make(t);
    const ranges: readonly ByteRange[] = [
      { start: 0, end: 1 },
      { start: 10, end: 300_000 },
      { start: 0, end: bytes.length },
      { start: 1000, end: undefined },
      { start: bytes.length - 1 },
      { start: 5, end: bytes.length + 1000 },
    ];
    for (const range of ranges) {
      const sink = new KeepingSink();
      await source.read(range, sink, never);
      t.ok(sink.bytes.equals(bytes.subarray(range.start, range.end)), `${range.start}-${range.end}`);
      t.equal(sink.heads.length, 1);
      t.match(sink.heads[0], { total: bytes.length, ranges: true });
    }
  });

  t.test('several reads at the same time', async (t) => {
    const { source, bytes } = await make(t);
    const part = Math.ceil(bytes.length / 5);
    const sinks = await Promise.all(
      Array.from({ length: 5 }, async (_, index) => {
        const sink = new KeepingSink();
        await source.read({ start: index * part, end: (index + 1) * part }, sink, never);
        return sink;
      }),
    );
    t.ok(Buffer.concat(sinks.map((sink) => sink.bytes)).equals(bytes));
  });

  t.test('waits for a sink that holds back', async (t) => {
    const { source, bytes } = await make(t);
    const sink = new KeepingSink({ holdEvery: 150_000 });
    await source.read({ start: 0, end: bytes.length }, sink, new AbortController().signal);
    t.ok(sink.bytes.equals(bytes));
    t.ok(sink.holds >= 4);
  });

  t.test('what the sink throws ends the read, unchanged; the next read is not harmed', async (t) => {
    const { source, bytes } = await make(t);
    const early = new KeepingSink();
    early.headFailure = new Error('no');
    t.equal(await failureOf(source.read({ start: 0 }, early, never)), early.headFailure);
    t.equal(early.length, 0);
    const late = new KeepingSink();
    late.failure = { afterBytes: 100_000, error: new Error('enough') };
    t.equal(await failureOf(source.read({ start: 0 }, late, never)), late.failure.error);
    const failing = new KeepingSink({ holdEvery: 1 });
    const reason = new Error('cannot drain');
    failing.drain = () => Promise.reject(reason);
    t.equal(await failureOf(source.read({ start: 0 }, failing, never)), reason);
    const after = new KeepingSink();
    await source.read({ start: 0 }, after, never);
    t.ok(after.bytes.equals(bytes));
  });

  t.test('an abort ends the read with its reason: before, during, and while the sink holds back', async (t) => {
    const { source, bytes } = await make(t);
    const reason = new Error('aborted');
    t.equal(await failureOf(source.read({ start: 0 }, new KeepingSink(), AbortSignal.abort(reason))), reason);
    const during = new AbortController();
    const sink = new AbortingSink(100_000, () => during.abort(reason));
    t.equal(await failureOf(source.read({ start: 0 }, sink, during.signal)), reason);
    const holding = new AbortController();
    const held = new KeepingSink({ holdEvery: 1 });
    held.drain = () => {
      setImmediate(() => holding.abort(reason));
      return new Promise(() => undefined);
    };
    t.equal(await failureOf(source.read({ start: 0 }, held, holding.signal)), reason);
    t.ok(held.bytes.equals(bytes.subarray(0, held.length)), 'nothing came after it was to wait');
    const after = new KeepingSink();
    await source.read({ start: 0, end: 100 }, after, never);
    t.ok(after.bytes.equals(bytes.subarray(0, 100)));
  });

  t.test('a read that breaks off: a coded error, and what came is good; the rest can be read', async (t) => {
    const { source, bytes, breakAfter } = await make(t);
    breakAfter(300_000);
    const sink = new KeepingSink();
    const error = await failureOf(source.read({ start: 0 }, sink, never));
    t.ok(error instanceof CodedError, error.message);
    t.ok(sink.length < bytes.length);
    t.ok(sink.bytes.equals(bytes.subarray(0, sink.length)));
    const rest = new KeepingSink();
    await source.read({ start: sink.length }, rest, never);
    t.ok(rest.bytes.equals(bytes.subarray(sink.length)));
  });
}
