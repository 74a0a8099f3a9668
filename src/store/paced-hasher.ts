import type { Clock } from '../base/clock.ts';
import { digestFrom, digestAlgorithm, hasherFor, type Digest } from '../base/digest.ts';
import { MiB } from '../base/units.ts';
import type { OpenFile } from './files.ts';

const READ_BYTES = MiB;

/** Hashes files, if asked to at no more than so many bytes a second over all of them. */
export class PacedHasher {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  #sinceSleep = 0;

  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** The digest of a file of `size` bytes, by the algorithm of `like`. Paced where a signal is given, whose abort ends it. */
  async digestOf(like: Digest, file: OpenFile, size: number, pace?: AbortSignal): Promise<Digest> {
    const hasher = hasherFor(like);
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(READ_BYTES, size)));
    for (let at = 0; ;) {
      const count = await file.read(buffer, at);
      if (count === 0) return digestFrom(digestAlgorithm(like), hasher);
      hasher.update(buffer.subarray(0, count));
      at += count;
      if (pace) await this.#pace(count, pace);
    }
  }

  async #pace(bytes: number, signal: AbortSignal): Promise<void> {
    this.#sinceSleep += bytes;
    // Timers count whole milliseconds: small files are slept for together.
    if (this.#sinceSleep < READ_BYTES) return;
    const ms = (this.#sinceSleep / this.#bytesPerSecond) * 1000;
    this.#sinceSleep = 0;
    await this.#clock.sleep(ms, signal);
  }
}
