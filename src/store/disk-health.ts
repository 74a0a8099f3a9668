import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf, describeError } from '../base/errors.ts';
import { isOutOfDescriptors } from '../base/descriptors.ts';
import type { FilePort } from './files.ts';
import type { Quota } from './quota.ts';

/** While writing fails, it is tried so often whether it works again. */
const PROBE_MS = 3000;
const PROBE_BYTES = 4096;

/** What the disk of the store has to give. */
export interface DiskState {
  /** Bytes that are free, or would be if everything went that may. */
  readonly roomBytes: number;
  /** Bytes that are to stay free. */
  readonly reserveBytes: number;
  /** Why nothing can be written, whatever its size; undefined: something can. */
  readonly failure: string | undefined;
}

/** Whether a failed call says something of the disk: not of one file, nor of this process. */
export function isOfTheDisk(error: unknown): boolean {
  const cause = error instanceof CodedError ? error.cause : error;
  if (cause instanceof CodedError || isOutOfDescriptors(cause)) return false;
  return ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO', 'EACCES', 'EPERM', 'ENOENT', 'ENXIO', 'ENODEV'].includes(codeOf(cause));
}

/** Of the disk, and likely to pass: it is no reason not to start. */
export function isPassing(error: unknown): boolean {
  const cause = error instanceof CodedError ? error.cause : error;
  return ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO'].includes(codeOf(cause));
}

/** Knows whether the store's disk takes writes at all: from those that failed, and then from a file that is written to see. */
export class DiskHealth {
  readonly #files: FilePort;
  readonly #dir: string;
  readonly #probe: string;
  readonly #quota: Quota;
  readonly #clock: Clock;
  readonly #reserveBytes: number;
  #failure: string | undefined;
  #probedAt = 0;

  constructor(deps: {
    files: FilePort;
    dir: string;
    /** Where files are tried to be made. */
    probeDir: string;
    quota: Quota;
    clock: Clock;
    reserveBytes: number;
  }) {
    this.#files = deps.files;
    this.#dir = deps.dir;
    this.#probe = join(deps.probeDir, 'probe.new');
    this.#quota = deps.quota;
    this.#clock = deps.clock;
    this.#reserveBytes = deps.reserveBytes;
  }

  /** A write has failed. */
  failed(error: unknown): void {
    if (!isOfTheDisk(error)) return;
    // The time of the failure itself: it is tried again after a while.
    if (this.#failure === undefined) this.#probedAt = this.#clock.monotonic();
    this.#failure = describeError(error instanceof CodedError ? error.cause : error);
  }

  /** Never rejects. */
  async check(): Promise<DiskState> {
    const now = this.#clock.monotonic();
    if (this.#failure !== undefined && now - this.#probedAt >= PROBE_MS) {
      this.#probedAt = now;
      await this.#try();
    }
    const free = await this.#files.freeBytes(this.#dir).catch((error: unknown) => {
      this.failed(error);
      return 0;
    });
    return {
      roomBytes: free + this.#quota.evictableBytes,
      reserveBytes: this.#reserveBytes,
      failure: this.#failure,
    };
  }

  async #try(): Promise<void> {
    try {
      const file = await this.#files.open(this.#probe, 'create');
      try {
        await file.write(Buffer.alloc(PROBE_BYTES), 0);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#files.unlink(this.#probe);
      this.#failure = undefined;
    } catch (error) {
      this.#failure = describeError(error);
      await this.#files.unlink(this.#probe).catch(() => undefined);
    }
  }
}
