import type { ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KiB } from '../base/units.ts';
import type { BodySource, LentBytes } from './body-source.ts';
import { POOLED_BUFFER_BYTES, type BufferPool } from './buffer-pool.ts';

/** Buffers of one response: one is read into while two are on their way out. */
const RING = 3;

/** The same while its bytes are read on this thread, when nothing can overlap: more of them only leave the core's cache. */
const RING_NOW = 1;

/** The first read on this thread, in bytes: the head leaves with what it gives, and should not wait for a whole MiB. */
const FIRST_READ_BYTES = 64 * KiB;

/** The buffer of a response that finds the pool empty, and the most for which a body gets one of its own, in bytes. */
const PRIVATE_BUFFER_BYTES = 64 * KiB;

/**
 * Sends bytes `start` to `end` (exclusive) of a body after what has been written to `response`, without ending it. A ring of
 * pooled buffers: reads overlap with writes, and a buffer is used again only from its write callback. Behind a body that is
 * still coming in it follows `ready`. Node corks the head with the first write, so both leave in one packet.
 *
 * Resolves with the count of bytes handed to the kernel: fewer than asked for only when the client has gone, which stops it
 * at once. Rejects when the body fails, after what had been read is out; the caller then ends the connection early.
 * `sent` is told the count and the position of each chunk as it has left.
 */
export async function sendBody(
  response: ServerResponse,
  body: BodySource,
  range: { readonly start: number; readonly end: number },
  pool: BufferPool,
  sent: (bytes: number, position: number) => void = ignore,
): Promise<number> {
  const ring = new Ring(response, pool, range.end - range.start, sent);
  let position = range.start;
  let most = RING;
  try {
    while (position < range.end && !ring.gone) {
      const limit = Math.min(range.end, await ring.unlessGone(body.ready(position)));
      while (position < limit) {
        const lent = await ring.sendLent(body, position, limit - position);
        position += lent;
        if (lent > 0) continue;
        const buffer = await ring.free(most);
        if (!buffer) break;
        const room = buffer.subarray(0, Math.min(limit - position, buffer.length));
        const first = position === range.start ? FIRST_READ_BYTES : room.length;
        let count = body.readNow?.(room.subarray(0, first), position) ?? 0;
        const now = count > 0;
        most = now ? RING_NOW : RING;
        if (!now) count = await body.read(room, position);
        ring.write(buffer, count, position);
        position += count;
        // Sockets may take all that they are given at once: others have their turn in between.
        if (now && position < limit) await nextTurn();
      }
    }
  } finally {
    await ring.finish();
  }
  return ring.sent;
}

function ignore(): void {}

/** The buffers of one response, from the pool and back to it. */
class Ring {
  readonly #response: ServerResponse;
  readonly #pool: BufferPool;
  readonly #length: number;
  readonly #onSent: (bytes: number, position: number) => void;
  readonly #buffers: Buffer[] = [];
  readonly #idle: Buffer[] = [];
  readonly #lent = new Set<LentBytes>();
  #pending = 0;
  #wake = ignore;
  /** The socket has closed. */
  gone: boolean;
  sent = 0;

  constructor(
    response: ServerResponse,
    pool: BufferPool,
    length: number,
    onSent: (bytes: number, position: number) => void,
  ) {
    this.#response = response;
    this.#pool = pool;
    this.#length = length;
    this.#onSent = onSent;
    // Not the response's own event: one that waits behind another on its connection never gets it.
    const { socket } = response.req;
    this.gone = socket.closed;
    socket.once('close', this.#closed);
  }

  readonly #closed = (): void => {
    this.gone = true;
    this.#wake();
  };

  /** What `promise` gives, or 0 as soon as the client has gone. */
  unlessGone(promise: Promise<number>): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#wake = (): void => {
        if (this.gone) resolve(0);
      };
      promise.then(resolve, reject);
    });
  }

  /** A buffer to read into, as soon as fewer than `most` are on their way out; undefined when the client has gone. */
  async free(most: number): Promise<Buffer | undefined> {
    while (!this.gone) {
      const buffer = this.#pending < most ? (this.#idle.pop() ?? this.#take()) : undefined;
      if (buffer) return buffer;
      await this.#change();
    }
    return undefined;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #take(): Buffer | undefined {
    const first = this.#buffers.length === 0;
    if (this.#buffers.length === RING || (!first && this.#length <= PRIVATE_BUFFER_BYTES)) return undefined;
    const pooled = this.#length <= PRIVATE_BUFFER_BYTES ? undefined : this.#pool.take(!first);
    const buffer = pooled ?? (first ? Buffer.allocUnsafeSlow(Math.min(this.#length, PRIVATE_BUFFER_BYTES)) : undefined);
    if (buffer) this.#buffers.push(buffer);
    return buffer;
  }

  write(buffer: Buffer, count: number, position: number): void {
    this.#write(buffer.subarray(0, count), position, () => this.#idle.push(buffer));
  }

  /**
   * Sends what the body has in memory right from there, without a copy (measured on a cold pull: 0.08 CPU-s a GiB for each
   * client); how many bytes, 0 where it has none.
   */
  async sendLent(body: BodySource, position: number, length: number): Promise<number> {
    if (!body.lend) return 0;
    while (this.#pending >= RING && !this.gone) await this.#change();
    const lent = this.gone ? undefined : body.lend(position, length);
    if (!lent) return 0;
    this.#lent.add(lent);
    this.#write(lent.bytes, position, () => this.#release(lent));
    return lent.bytes.length;
  }

  #release(lent: LentBytes): void {
    if (this.#lent.delete(lent)) lent.release();
  }

  #write(bytes: Uint8Array, position: number, done: () => void): void {
    this.#pending += 1;
    this.#response.write(bytes, (error) => {
      this.#pending -= 1;
      if (!error && !this.gone) {
        this.sent += bytes.length;
        this.#onSent(bytes.length, position);
      }
      done();
      this.#wake();
    });
  }

  /** Waits until nothing uses the buffers, and gives them back: all are written, or the socket, and so libuv, let go of them. */
  async finish(): Promise<void> {
    while (this.#pending > 0 && !this.gone) await this.#change();
    this.#response.req.socket.off('close', this.#closed);
    for (const lent of this.#lent) this.#release(lent);
    for (const buffer of this.#buffers) if (buffer.length === POOLED_BUFFER_BYTES) this.#pool.give(buffer);
  }
}
