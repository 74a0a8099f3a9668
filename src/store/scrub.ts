import { isFileId } from '../base/digest.ts';
import type { Clock } from '../base/clock.ts';
import { describeError } from '../base/errors.ts';
import { isOutOfDescriptors } from '../base/descriptors.ts';
import type { Logger } from '../base/log.ts';
import { MiB } from '../base/units.ts';
import type { BlobFiles } from './blob-files.ts';
import { PacedHasher } from './paced-hasher.ts';
import type { BlobEntry, Quota } from './quota.ts';
import type { Verified } from './verified.ts';

/** How fast blobs are read and hashed, in bytes a second: a hundredth of a core, and 20 GiB in 21 minutes. */
const BYTES_PER_SECOND = 16 * MiB;
/** Each blob is verified so often, in milliseconds, unless reading it has done so: the interval at which disks are commonly scrubbed. */
const SCRUB_MS = 7 * 24 * 3_600_000;
/** After the start others have the disk first. */
const START_MS = 60_000;
/** It is looked so often for blobs that are due, and what was verified is saved. */
const LOOK_MS = 10 * 60_000;

/**
 * Finds blobs that rot on the disk: reads each once a week, slowly, and drops those whose bytes are others. Those not known to be
 * right come first, then those verified the longest ago. What it has done outlives the process, so it goes on after a restart.
 */
export class Scrub {
  readonly #quota: Quota;
  readonly #blobs: BlobFiles;
  readonly #verified: Verified;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #hasher: PacedHasher;
  readonly #stop = new AbortController();
  #wake: (() => void) | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(deps: { quota: Quota; blobs: BlobFiles; verified: Verified; clock: Clock; log: Logger }) {
    this.#quota = deps.quota;
    this.#blobs = deps.blobs;
    this.#verified = deps.verified;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#hasher = new PacedHasher(deps.clock, BYTES_PER_SECOND);
  }

  /** Begins, in the background. */
  start(): void {
    this.#running = this.#run();
  }

  /** Ends it, and notes how far it has come. Never rejects. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#running;
    await this.#save();
  }

  async #run(): Promise<void> {
    await this.#pause(START_MS);
    while (!this.#stop.signal.aborted) {
      await this.#pass();
      await this.#save();
      await this.#pause(LOOK_MS);
    }
  }

  /** All that are due now. */
  async #pass(): Promise<void> {
    let savedAt = this.#clock.monotonic();
    for (const entry of this.#due()) {
      if (this.#stop.signal.aborted) return;
      if (entry.dropped || !this.#verified.isDue(entry, SCRUB_MS)) continue;
      try {
        await this.#blobs.verify(entry, this.#hasher, this.#stop.signal);
      } catch (error) {
        if (this.#stop.signal.aborted || isOutOfDescriptors(error)) return;
        this.#log.debug({ digest: entry.digest, error: describeError(error) }, 'a blob cannot be verified now');
      }
      if (this.#clock.monotonic() - savedAt < LOOK_MS) continue;
      savedAt = this.#clock.monotonic();
      await this.#save();
    }
  }

  #due(): BlobEntry[] {
    const due = [...this.#quota.entries()].filter((entry) => canHash(entry) && this.#verified.isDue(entry, SCRUB_MS));
    return due.sort((a, b) => a.verifiedAt - b.verifiedAt);
  }

  #save(): Promise<void> {
    return this.#verified.save(this.#quota.entries());
  }

  /** Does not keep the process alive. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, () => this.#wake?.());
      this.#wake = () => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
      if (this.#stop.signal.aborted) this.#wake();
    });
  }
}

/** Of a file no digest is known: its pieces are checked when they are read (read-checks.ts). */
function canHash({ digest }: BlobEntry): boolean {
  return !isFileId(digest);
}
