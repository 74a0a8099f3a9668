import type { Hash } from 'node:crypto';
import { backoffMs, type Backoff } from '../../base/backoff.ts';
import type { Clock } from '../../base/clock.ts';
import { digestAlgorithm, digestFrom, type Digest } from '../../base/digest.ts';
import { codeAndTodo, describeError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { KiB, MiB } from '../../base/units.ts';
import type { BodySource } from '../../http/body-source.ts';
import type { BlobHead, ByteSink } from '../../http/byte-sink.ts';
import { isOriginError } from '../../registry/errors.ts';
import { BlobDigestMismatch, BlobIncomplete, BlobWrongSize } from './errors.ts';
import type { PieceSource } from './piece-source.ts';
import { releasedTo, SMALL_BLOB_BYTES } from './release.ts';

/** Bytes held in memory for one client of a blob that the store cannot take; at least a small blob (release.ts). */
const BUFFER_BYTES = 2 * MiB;
/** The same while memory is short: two reads of a socket, and the end that is held back. */
const LITTLE_BUFFER_BYTES = 160 * KiB;
const MAX_TRIES_WITHOUT_PROGRESS = 6;
const RETRY: Backoff = { firstMs: 200, capMs: 4000 };

/**
 * A blob that the store cannot take, on its way from the origin to one client: a read of its own through a bounded buffer.
 * With `hash` (the state over what the client has had already) the end is held back until the digest is known, as ever.
 */
export class ThroughBody implements BodySource, ByteSink {
  readonly size: number;
  readonly #digest: Digest;
  readonly #content: Digest;
  readonly #origin: PieceSource;
  readonly #hash: Hash | undefined;
  readonly #end: number;
  readonly #bufferBytes: number;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #chunks: Buffer[] = [];
  /** Where the first byte of the first chunk belongs, and the next byte to come. */
  #readAt: number;
  #received: number;
  #verified = false;
  #failure: unknown;
  #wakeReader: (() => void) | undefined;
  #wakeSource: (() => void) | undefined;

  constructor(options: {
    digest: Digest;
    /** What `hash` is to come to, where that is not the digest. */
    content?: Digest | undefined;
    size: number;
    origin: PieceSource;
    start: number;
    end: number;
    hash: Hash | undefined;
    /** Memory is short. */
    holdsLittle?: boolean;
    clock: Clock;
    log: Logger;
  }) {
    this.#digest = options.digest;
    this.#content = options.content ?? options.digest;
    this.size = options.size;
    this.#origin = options.origin;
    this.#readAt = options.start;
    this.#received = options.start;
    this.#end = options.end;
    this.#hash = options.hash;
    // A small blob goes out when all of it is here.
    this.#bufferBytes = options.holdsLittle && options.size > SMALL_BLOB_BYTES ? LITTLE_BUFFER_BYTES : BUFFER_BYTES;
    this.#clock = options.clock;
    this.#log = options.log;
    void this.#run();
  }

  async ready(position: number): Promise<number> {
    for (;;) {
      const held = this.#hash !== undefined && !this.#verified;
      const end = held ? releasedTo(this.size, this.#received) : this.#received;
      if (end > position) return end;
      if (this.#failure !== undefined) throw this.#failure;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  /** Reads on; only in order. */
  read(buffer: Uint8Array, position: number): Promise<number> {
    const chunk = this.#chunks[0];
    if (!chunk || position !== this.#readAt) throw new RangeError('a blob that streams through is read in order');
    const count = Math.min(buffer.length, chunk.length);
    buffer.set(chunk.subarray(0, count));
    if (count === chunk.length) this.#chunks.shift();
    else this.#chunks[0] = chunk.subarray(count);
    this.#readAt += count;
    const wake = this.#wakeSource;
    this.#wakeSource = undefined;
    wake?.();
    return Promise.resolve(count);
  }

  close(): void {
    this.#failure ??= new Error('closed');
    this.#abort.abort(this.#failure);
    this.#chunks.length = 0;
    this.#wakeSource?.();
  }

  head({ total }: BlobHead): void {
    if (total !== undefined && total !== this.size) {
      throw new BlobWrongSize({ digest: this.#digest, expected: this.size, actual: total, source: this.#origin.name });
    }
  }

  write(chunk: Uint8Array): boolean {
    const bytes = Buffer.from(chunk.subarray(0, this.#end - this.#received));
    this.#hash?.update(bytes);
    this.#chunks.push(bytes);
    this.#received += bytes.length;
    this.#signal();
    return this.#mayGoOn();
  }

  async drained(): Promise<void> {
    while (!this.#mayGoOn()) {
      await new Promise<void>((resolve) => {
        this.#wakeSource = resolve;
      });
    }
  }

  #mayGoOn(): boolean {
    return this.#failure !== undefined || this.#received - this.#readAt < this.#bufferBytes;
  }

  async #run(): Promise<void> {
    try {
      for (let tries = 0; this.#received < this.#end; tries += 1) {
        const before = this.#received;
        const error = await this.#readOnce();
        if (this.#received > before) tries = 0;
        if (error === undefined) continue;
        if (
          (isOriginError(error) && error.final) ||
          error instanceof BlobWrongSize ||
          tries >= MAX_TRIES_WITHOUT_PROGRESS
        )
          throw error;
        this.#log.warn(
          { ...codeAndTodo(error), code: 'ORIGIN_RESUMED', digest: this.#digest, at: this.#received },
          describeError(error),
        );
        await this.#clock.sleep(backoffMs(RETRY, tries), this.#abort.signal);
      }
      this.#verify();
    } catch (error) {
      this.#failure ??= error;
    }
    this.#signal();
  }

  async #readOnce(): Promise<unknown> {
    const range = { start: this.#received, end: this.#end === this.size ? undefined : this.#end };
    try {
      await this.#origin.read(range, this, this.#abort.signal);
      if (this.#received >= this.#end) return undefined;
      return new BlobIncomplete({
        digest: this.#digest,
        source: this.#origin.name,
        at: this.#received,
        end: this.#end,
      });
    } catch (error) {
      return error;
    }
  }

  #verify(): void {
    if (!this.#hash) return;
    const actual = digestFrom(digestAlgorithm(this.#digest), this.#hash);
    if (actual !== this.#content) {
      throw new BlobDigestMismatch({ digest: this.#digest, actual, sources: this.#origin.name });
    }
    this.#verified = true;
  }

  #signal(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}
