import type { Digest } from '../../base/digest.ts';
import type { ByteRange, ByteSink } from '../../http/byte-sink.ts';
import { PeerBadResponse, PeerBusy, PeerGone, PeerRefused } from './errors.ts';
import type { AnswerTaker, Endpoint } from './piece-connection.ts';
import type { ResponseHead } from './response-head.ts';

/** Takes the answer to a request for a range: checks its head against what was asked, and its body goes to the sink. */
export class RangeTaker implements AnswerTaker {
  readonly #to: Endpoint;
  readonly #digest: Digest;
  readonly #range: ByteRange;
  readonly #sink: ByteSink;
  #bytes = 0;
  #total: number | undefined;
  #refusal: Error | undefined;

  constructor(to: Endpoint, digest: Digest, range: ByteRange, sink: ByteSink) {
    this.#to = to;
    this.#digest = digest;
    this.#range = range;
    this.#sink = sink;
  }

  /** Body bytes that have come. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The size of the whole blob, once a good head has said it. */
  get total(): number | undefined {
    return this.#total;
  }

  /** Why the peer gives nothing, when it said so. The connection is as good as before. */
  get refusal(): Error | undefined {
    return this.#refusal;
  }

  head(head: ResponseHead): void {
    this.#refusal = this.#refusalIn(head);
    if (this.#refusal) return;
    this.#total = this.#totalIn(head);
    this.#sink.head({ total: this.#total, ranges: true, shown: head.shown });
  }

  write(chunk: Uint8Array): boolean {
    this.#bytes += chunk.length;
    return this.#sink.write(chunk);
  }

  room(): Uint8Array | undefined {
    return this.#refusal ? undefined : this.#sink.room?.();
  }

  drained(): Promise<void> {
    return this.#sink.drained();
  }

  #refusalIn({ status, contentLength, reason }: ResponseHead): Error | undefined {
    const { peer } = this.#to;
    // Refusals of a piece server have no body: one with a body comes from something else.
    if (contentLength > 0) return undefined;
    if (status === 404) return new PeerGone({ peer, digest: this.#digest });
    if (status === 503 && reason === 'busy') return new PeerBusy({ peer });
    return status === 403 ? new PeerRefused(this.#to) : undefined;
  }

  /** The size of the blob, in an answer that gives exactly what was asked for. */
  #totalIn({ status, contentLength, contentRange }: ResponseHead): number {
    const { start, end = Number.POSITIVE_INFINITY } = this.#range;
    // A blob of no bytes has no ranges.
    if (status === 200 && contentLength === 0 && start === 0) return 0;
    if (status !== 206 || contentRange?.total === undefined) throw this.#bad(`status ${status}`);
    const isWhatWasAsked =
      contentRange.start === start &&
      contentRange.end === Math.min(end, contentRange.total) &&
      contentLength === contentRange.end - start;
    if (isWhatWasAsked) return contentRange.total;
    const seen = `${contentLength} bytes, from ${contentRange.start} to ${contentRange.end} of ${contentRange.total}`;
    throw this.#bad(`${seen}, to a request from ${start} to ${end}`);
  }

  #bad(seen: string): Error {
    return new PeerBadResponse({ ...this.#to, seen });
  }
}
