import type { LentBytes } from '../../http/body-source.ts';
import type { BufferPool } from '../../http/buffer-pool.ts';
import { lend, partAt, type InMemory } from './hot-bytes.ts';

/** Bytes of one blob that are in memory, and not in its file yet. */
interface Part extends InMemory {
  bytes: Uint8Array;
}

/**
 * The bytes that are being written just now: who waits for them gets them while they are on their way to the file, which may take its
 * time. Their buffers' owner keeps them until a write is over; of a write that has failed a copy stays here, for those who had its
 * bytes have to be hashed with them still.
 */
export class BytesUnderWay {
  readonly #pool: BufferPool;
  #parts: Part[] = [];
  #isClosed = false;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** These bytes are being written from now on; they stay as they are until `written` or `failed` is called with what this gives. */
  begin(bytes: Uint8Array, position: number): Part {
    const part: Part = { bytes, position };
    if (!this.#isClosed) this.#parts.push(part);
    return part;
  }

  /** They are in the file. */
  written(part: Part): void {
    this.#parts = this.#parts.filter((each) => each !== part);
  }

  /** They are not, and will not be. */
  failed(part: Part): void {
    if (this.#parts.includes(part)) part.bytes = Buffer.from(part.bytes);
  }

  /** How far the bytes from `position` on are here without a gap. */
  endFrom(position: number): number {
    let end = position;
    for (let found = this.#at(end); found; found = this.#at(end)) end = found.position + found.bytes.length;
    return end;
  }

  /** As `HotBytes.lend`. */
  lend(position: number, length: number): LentBytes | undefined {
    return lend(this.#pool, this.#at(position), position, length);
  }

  /** Fills `buffer` from `position` on, with what one write has of it; how many bytes, 0 where nothing is. */
  read(buffer: Uint8Array, position: number): number {
    const found = this.#at(position);
    if (!found) return 0;
    const from = position - found.position;
    const part = found.bytes.subarray(from, from + buffer.length);
    buffer.set(part);
    return part.length;
  }

  /** Nothing is given from here from now on. */
  close(): void {
    this.#isClosed = true;
    this.#parts = [];
  }

  #at(position: number): Part | undefined {
    return partAt(this.#parts, position);
  }
}
