import type { Clock } from '../../base/clock.ts';
import type { Digest } from '../../base/digest.ts';
import { asError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ByteSource } from '../../base/metrics.ts';
import type { LentBytes } from '../../http/body-source.ts';
import { Demand } from './demand.ts';
import { BlobNotProved, BlobPieceWrong } from './errors.ts';
import type { IncomingBytes } from './incoming-bytes.ts';
import type { Leave } from './leave.ts';
import { Reader, type AskedRange, type ReaderRequest } from './reader.ts';
import { releasedTo } from './release.ts';
import { Signal } from './signal.ts';
import { ThroughBody } from './through-body.ts';

/** The download that is read. */
export interface ReadersHost {
  readonly digest: Digest;
  /** What its bytes are to hash to; undefined: whatever comes is right. */
  readonly content: Digest | undefined;
  readonly mediaType: string | undefined;
  readonly bytes: IncomingBytes;
  readonly leave: Leave;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whether memory is short. */
  readonly holdsLittle: boolean;
  /** What the readers need has changed. */
  needsChanged(): void;
  /** A reader has left. */
  left(): void;
}

/** Who reads one blob while it comes in, and how far each may read. */
export class Readers {
  readonly demand: Demand;
  readonly #host: ReadersHost;
  readonly #bytes: IncomingBytes;
  readonly #set = new Set<Reader>();
  readonly #changed = new Signal();
  #holds: 'the end' | 'everything' | 'nothing' = 'the end';
  #isThrough = false;
  #failure: Error | undefined;

  constructor(host: ReadersHost) {
    this.#host = host;
    this.#bytes = host.bytes;
    this.demand = new Demand(this.#set, host.bytes, host.clock);
  }

  get digest(): Digest {
    return this.#host.digest;
  }

  get mediaType(): string | undefined {
    return this.#host.mediaType;
  }

  get count(): number {
    return this.#set.size;
  }

  /** Set once all of them are to fail. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  [Symbol.iterator](): IterableIterator<Reader> {
    return this.#set.values();
  }

  // --- what the download tells ---

  /** Bytes have come, or anything else that may let one of them go on. */
  wake(): void {
    this.#changed.fire();
  }

  /** How much is held back: what could pass for the whole (until its digest is known), everything (while it is disputed). */
  hold(what: 'everything' | 'nothing'): void {
    this.#holds = what;
    this.wake();
  }

  /** The store does not take the blob: each goes on with a read of its own. */
  streamThrough(): void {
    this.#isThrough = true;
    this.wake();
  }

  fail(error: Error): void {
    this.#failure = error;
    this.wake();
  }

  /** The registry has said no to those who may read it at the origin `name`; others may still read it elsewhere. */
  refuse(name: string, error: Error): void {
    for (const reader of this.#set) if (reader.origin.name === name) reader.failure = error;
    this.wake();
  }

  /** Bytes come that no client's origin gives: asks these for leave. A reader whose origin says no is out. */
  async confirm(): Promise<void> {
    await Promise.all([...this.#set].map((reader) => this.#confirm(reader)));
  }

  // --- what clients ask ---

  /** See `Download.join`. */
  async join(
    request: ReaderRequest,
    range: AskedRange | undefined,
    signal: AbortSignal,
    from: number,
  ): Promise<Reader> {
    const reader = new Reader(this, request, { range, position: from });
    this.#set.add(reader);
    const hangUp = () => reader.close();
    signal.addEventListener('abort', hangUp, { once: true });
    try {
      this.#host.needsChanged();
      while (this.#bytes.size === undefined && !this.#failureOf(reader) && !signal.aborted) await this.#changed.wait();
      if (this.#bytes.size === undefined) throw this.#failureOf(reader) ?? asError(signal.reason);
      reader.setSize(this.#bytes.size);
      if (reader.position < reader.end) await reader.ready(reader.position);
      signal.throwIfAborted();
      return reader;
    } catch (error) {
      reader.close();
      throw signal.aborted ? asError(signal.reason) : error;
    } finally {
      signal.removeEventListener('abort', hangUp);
    }
  }

  /** See `BodySource.ready`. */
  async readyFor(reader: Reader, position: number): Promise<number> {
    reader.position = position;
    this.demand.flow();
    for (let said = false; ; said = true) {
      if (reader.through) return reader.through.ready(position);
      const failure = this.#failureOf(reader);
      if (failure) throw failure;
      const end = this.#releasedTo(reader, position);
      if (end > position) {
        const allowed = this.#host.leave.upTo(reader, position, end);
        if (allowed > position) return allowed;
        await this.#prove(reader, position);
        continue;
      }
      if (reader.closed) throw new Error('closed');
      if (this.#isThrough) {
        reader.through = await this.#startThrough(reader, position);
        continue;
      }
      if (!said) this.#host.needsChanged();
      reader.waitsAt = position;
      await this.#changed.wait();
      reader.waitsAt = undefined;
    }
  }

  /** Reads what `readyFor` has released; waits again where that was lost since, or is disputed. */
  async readFor(reader: Reader, buffer: Uint8Array, position: number): Promise<number> {
    for (;;) {
      const failure = this.#failureOf(reader);
      if (failure) throw failure;
      const { losses } = this.#bytes;
      const isSure = losses === 0 && this.#holds !== 'everything';
      const end = isSure ? Number.POSITIVE_INFINITY : await this.readyFor(reader, position);
      const to = buffer.subarray(0, Math.min(buffer.length, end - position));
      const count = reader.through ? await reader.through.read(to, position) : await this.#bytes.read(to, position);
      if (this.#bytes.losses === losses) return count;
    }
  }

  /** As `BodySource.lend`; nothing of what was lost once, or is disputed. */
  lendFor(reader: Reader, position: number, length: number): LentBytes | undefined {
    const isSure = this.#bytes.losses === 0 && this.#holds !== 'everything' && !this.#failureOf(reader);
    return isSure ? this.#bytes.lend(position, length) : undefined;
  }

  /** Who gave the byte at `position`. */
  sourceAt(position: number): ByteSource {
    return this.#bytes.sourceAt(position);
  }

  leave(reader: Reader): void {
    if (!this.#set.delete(reader)) return;
    this.wake();
    this.#host.left();
  }

  async #confirm(reader: Reader): Promise<void> {
    try {
      await reader.confirm?.();
      reader.confirm = undefined;
    } catch (error) {
      reader.failure = asError(error);
      this.wake();
    }
  }

  /** A reader goes on alone whose origin gives other bytes than come in: nobody knows yet which are right. */
  async #prove(reader: Reader, position: number): Promise<void> {
    try {
      await this.#host.leave.ask(reader, position);
    } catch (error) {
      const isInDoubt = error instanceof BlobNotProved && this.#holds === 'the end' && !reader.closed;
      if (!isInDoubt) reader.failure = asError(error);
      else reader.through ??= await this.#startThrough(reader, position);
    }
    if (reader.closed) reader.through?.close();
  }

  #failureOf(reader: Reader): Error | undefined {
    return this.#failure ?? reader.failure;
  }

  #releasedTo(reader: Reader, position: number): number {
    const { size } = this.#bytes;
    if (size === undefined || this.#holds === 'everything') return position;
    const available = Math.min(this.#bytes.endFrom(position), reader.end);
    return reader.holdsBack && this.#holds === 'the end' ? Math.min(available, releasedTo(size, available)) : available;
  }

  /** The reader goes on with a read of its own; its hash takes in what it has had so far. */
  async #startThrough(reader: Reader, position: number): Promise<ThroughBody> {
    const { digest, content, clock, log, holdsLittle } = this.#host;
    // What it has had is not what is here: nobody can tell any more whether it was right.
    if (reader.had.size > 0) throw new BlobPieceWrong({ digest, pieces: [...reader.had.keys()] });
    // A range that starts where nothing is here cannot be hashed; it may go out as it comes from our own read (I1).
    const isWhole = content !== undefined && reader.holdsBack && this.#bytes.covers(0, position);
    const hash = isWhole ? await this.#bytes.hashBefore(position) : undefined;
    const { size, origin, end } = reader;
    return new ThroughBody({ digest, content, size, origin, start: position, end, hash, holdsLittle, clock, log });
  }
}
