import type { ByteRange, ByteSink } from '../http/byte-sink.ts';
import { codingOf } from './content-encoding.ts';
import { parseContentLength, parseContentRange } from './content-range.ts';
import { DecodedBody } from './decoded-body.ts';
import { OriginBadRange, OriginBadResponse } from './errors.ts';
import type { Errand } from './failures.ts';
import type { BodyTaker, ResponseHead } from './http-read.ts';
import { bareMediaType, isHtmlType } from './media-types.ts';
import { RangeFilter } from './range-filter.ts';

/** How one read of a blob stands, over however many requests it takes. */
export interface ReadProgress {
  readonly range: ByteRange;
  readonly sink: ByteSink;
  /** The next byte that is wanted. */
  position: number;
  /** The blob's size, once an answer has told. */
  total: number | undefined;
  /** The sink has been told the head. */
  headGiven: boolean;
  /**
   * Set for a file that is no blob of a registry: its bytes are taken as they are sent, web pages and encoded ones too. It is
   * shown the head of each good answer, and what it throws ends the read.
   */
  readonly asFile?: ((head: ResponseHead) => void) | undefined;
}

/** Takes the answer to one request for a blob: checks its head against what was asked, and its body goes to the sink. */
export class BlobBody implements BodyTaker {
  readonly #progress: ReadProgress;
  readonly #errand: Errand;
  readonly #signal: AbortSignal;
  readonly #ranged: boolean;
  #filter: RangeFilter | undefined;
  #decoded: DecodedBody | undefined;
  #answered = false;

  /** `ranged`: the request had a `Range` from `progress.position` on. */
  constructor(progress: ReadProgress, ranged: boolean, errand: Errand, signal: AbortSignal) {
    this.#progress = progress;
    this.#ranged = ranged;
    this.#errand = errand;
    this.#signal = signal;
  }

  /** Whether an answer has begun. */
  get answered(): boolean {
    return this.#answered;
  }

  head(head: ResponseHead): 'take' | 'words' {
    const { status, headers } = head;
    this.#answered = true;
    if (status !== 200 && status !== 206) return 'words';
    const mediaType = bareMediaType(headers['content-type']);
    const { asFile } = this.#progress;
    if (asFile) asFile(head);
    else if (isHtmlType(mediaType)) throw this.#bad('a web page instead of a blob');
    const filter = status === 206 ? this.#partHead(headers) : this.#wholeHead(headers);
    const progress = this.#progress;
    if (!progress.headGiven) {
      progress.headGiven = true;
      const ranges = status === 206 || (progress.position === 0 && !this.#ranged);
      progress.sink.head({ total: progress.total, mediaType, ranges });
    }
    this.#filter = filter;
    return 'take';
  }

  data(chunk: Uint8Array): 'more' | 'hold' | 'stop' {
    const next = this.#decoded ? this.#decoded.write(chunk) : this.#filter!.write(chunk);
    this.#progress.position = this.#filter!.position;
    return next;
  }

  room(): Uint8Array | undefined {
    return this.#decoded ? undefined : this.#filter?.room();
  }

  async drained(): Promise<void> {
    await (this.#decoded ?? this.#progress.sink).drained();
  }

  /** The body has ended. Throws when it was not what it was to be. */
  async end(): Promise<void> {
    await this.#decoded?.end();
    if (!this.#filter) return;
    this.#progress.position = this.#filter.position;
    if (this.#filter.toSkip > 0) throw this.#bad(`a blob that ends before byte ${this.#progress.position}`);
  }

  close(): void {
    this.#decoded?.close();
  }

  /** A 206: exactly from where it was asked, and as long as it says; without Content-Range it is an error (containerd would take its bytes for those from 0). */
  #partHead(headers: ResponseHead['headers']): RangeFilter {
    const { position, range, sink } = this.#progress;
    const part = parseContentRange(headers['content-range']);
    const asked = `bytes from ${position}`;
    if (!this.#ranged || !part) throw this.#badRange(`status 206 without a good Content-Range to ${asked}`);
    if (part.start !== position) throw this.#badRange(`bytes from ${part.start} to a request for ${asked}`);
    const length = parseContentLength(headers['content-length']);
    if (length !== undefined && length !== part.end - part.start) {
      throw this.#badRange(`Content-Length ${length} for ${part.end - part.start} bytes`);
    }
    if (this.#codingOf(headers) !== undefined) throw this.#badRange('an encoded part');
    this.#progress.total = part.total ?? this.#progress.total;
    const end = range.end ?? Number.POSITIVE_INFINITY;
    return new RangeFilter(sink, { start: position, end: Math.min(end, part.end), skip: 0, stopAtEnd: part.end > end });
  }

  #wholeHead(headers: ResponseHead['headers']): RangeFilter {
    const { position, range, sink } = this.#progress;
    const coding = this.#codingOf(headers);
    if (coding === 'unknown') throw this.#bad(`the Content-Encoding ${headers['content-encoding']?.slice(0, 40)}`);
    const total = coding === undefined ? parseContentLength(headers['content-length']) : undefined;
    if (total !== undefined && total < position) throw this.#bad(`a blob of ${total} bytes, asked from ${position}`);
    this.#progress.total = total;
    const end = range.end ?? Number.POSITIVE_INFINITY;
    const stopAtEnd = end < (total ?? Number.POSITIVE_INFINITY);
    const filter = new RangeFilter(sink, { start: position, end, skip: position, stopAtEnd });
    if (coding !== undefined) this.#decoded = new DecodedBody(coding, filter, sink, this.#errand, this.#signal);
    return filter;
  }

  #codingOf(headers: ResponseHead['headers']): ReturnType<typeof codingOf> {
    return this.#progress.asFile ? undefined : codingOf(headers['content-encoding']);
  }

  #bad(seen: string) {
    return new OriginBadResponse({ ...this.#errand, seen });
  }

  #badRange(seen: string) {
    return new OriginBadRange({ ...this.#errand, seen });
  }
}
