import { createHash, type Hash } from 'node:crypto';
import { describeError } from '../base/errors.ts';
import { GetNotWritten, GetStreamBroken } from './errors.ts';
import type { Part } from './part-file.ts';

/** Kept until the digest is known to be right, in bytes: as the mirror does. */
const HELD_BYTES = 16 * 1024;
const NOTHING = Buffer.alloc(0);

/**
 * A file on its way to standard output. What has gone out cannot be taken back: with a digest the end is held until it is known to be
 * right, and what breaks off is gone on with only where it is sure to be the same version.
 */
export class StreamPart implements Part {
  readonly #write: (bytes: Buffer) => Promise<void>;
  readonly #heldBytes: number;
  #etag: string | undefined;
  #size = 0;
  #out = 0;
  #held: Buffer = NOTHING;
  /** Bytes that come once more. */
  #again = 0;
  #hash: Hash = createHash('sha256');

  /** `isChecked`: its digest will be compared before `finish`. */
  constructor(write: (bytes: Buffer) => Promise<void>, isChecked: boolean) {
    this.#write = write;
    this.#heldBytes = isChecked ? HELD_BYTES : 0;
  }

  async kept(): Promise<{ etag: string; size: number } | undefined> {
    return this.#etag === undefined || this.size === 0 ? undefined : { etag: this.#etag, size: this.size };
  }

  /** Throws GET_STREAM_BROKEN where some of it has gone out. */
  async begin(etag: string | undefined): Promise<void> {
    if (this.#out > 0) throw new GetStreamBroken({ bytes: this.#out });
    await this.discard();
    this.#etag = etag;
  }

  async resume(at: number): Promise<void> {
    this.#again = this.#size - at;
  }

  async write(bytes: Buffer): Promise<void> {
    const skipped = Math.min(this.#again, bytes.length);
    this.#again -= skipped;
    const fresh = bytes.subarray(skipped);
    if (fresh.length === 0) return;
    this.#hash.update(fresh);
    this.#size += fresh.length;
    const all = this.#held.length === 0 ? fresh : Buffer.concat([this.#held, fresh]);
    const end = Math.max(0, all.length - this.#heldBytes);
    this.#held = Buffer.from(all.subarray(end));
    await this.#put(all.subarray(0, end));
  }

  get size(): number {
    return this.#size - this.#again;
  }

  get sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  async finish(): Promise<void> {
    const rest = this.#held;
    this.#held = NOTHING;
    await this.#put(rest);
  }

  async discard(): Promise<void> {
    this.#etag = undefined;
    this.#size = 0;
    this.#again = 0;
    this.#held = NOTHING;
    this.#hash = createHash('sha256');
  }

  async close(): Promise<void> {}

  async #put(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return;
    this.#out += bytes.length;
    try {
      await this.#write(bytes);
    } catch (error) {
      throw new GetNotWritten({ file: 'standard output', why: describeError(error) }, { cause: error });
    }
  }
}
