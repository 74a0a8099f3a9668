import { join } from 'node:path';
import { parseDigest, type Digest } from '../base/digest.ts';
import { describeError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { MiB } from '../base/units.ts';
import { LOOK_AT_DISK, PinsFull, PinTooLarge } from './errors.ts';
import { readWhole, replaceWhole } from './file-helpers.ts';
import type { FilePort } from './files.ts';
import { chargeFor } from './quota.ts';

/** What is pinned may take so much of the quota: the rest is for what clients pull. */
export const PIN_SHARE = 1 / 2;
const MAX_PINS = 256;
/** Blobs of all pins. */
const MAX_PINNED_BLOBS = 20_000;
const MAX_FILE_BYTES = 8 * MiB;
const FORMAT = 1;

/** A name for blobs that are never evicted: an image's. */
export interface Pin {
  readonly name: string;
  /** What the name stood for. */
  readonly digest: Digest;
  /** In milliseconds since 1970. */
  readonly at: number;
  /** Sizes in bytes; its blobs need not be here (any more). */
  readonly blobs: ReadonlyMap<Digest, number>;
}

/** What is never evicted, in a file of the store's directory. One process a directory. */
export class Pins {
  readonly #files: FilePort;
  readonly #path: string;
  readonly #quotaBytes: () => number;
  readonly #pins: Map<string, Pin>;
  #work: Promise<void> = Promise.resolve();

  private constructor(options: PinsOptions, pins: Map<string, Pin>) {
    this.#files = options.files;
    this.#path = pathOf(options);
    this.#quotaBytes = options.quotaBytes;
    this.#pins = pins;
  }

  /** A file that cannot be read is said, and nothing is pinned: a node without its pins is better than none. */
  static async open(options: PinsOptions): Promise<Pins> {
    try {
      const bytes = await readWhole(options.files, pathOf(options), MAX_FILE_BYTES);
      return new Pins(options, bytes ? parsePins(bytes) : new Map());
    } catch (error) {
      options.log.warn(
        { code: 'PINS_DAMAGED', path: pathOf(options), error: describeError(error), todo: `${LOOK_AT_DISK}; pin anew` },
        'what was pinned cannot be read: nothing is',
      );
      return new Pins(options, new Map());
    }
  }

  list(): readonly Pin[] {
    return [...this.#pins.values()];
  }

  find(name: string): Pin | undefined {
    return this.#pins.get(name);
  }

  /** Every pinned blob, once. */
  blobs(without?: string): Map<Digest, number> {
    const blobs = new Map<Digest, number>();
    for (const pin of this.#pins.values()) {
      if (pin.name !== without) for (const [digest, size] of pin.blobs) blobs.set(digest, size);
    }
    return blobs;
  }

  /** Pins, in the place of a pin of that name. Throws PIN_TOO_LARGE, PINS_FULL, or the disk's error: then nothing has changed. */
  async set(pin: Pin): Promise<void> {
    const all = this.blobs(pin.name);
    for (const [digest, size] of pin.blobs) all.set(digest, size);
    let bytes = 0;
    for (const size of all.values()) bytes += chargeFor(size);
    const most = Math.floor(this.#quotaBytes() * PIN_SHARE);
    if (bytes > most) throw new PinTooLarge({ name: pin.name, bytes, most });
    const isNew = !this.#pins.has(pin.name);
    if ((isNew && this.#pins.size >= MAX_PINS) || all.size > MAX_PINNED_BLOBS) {
      throw new PinsFull({ pins: MAX_PINS, blobs: MAX_PINNED_BLOBS });
    }
    await this.#change((pins) => pins.set(pin.name, pin));
  }

  /** False: there was none. Rejects with the disk's error: then nothing has changed. */
  async remove(name: string): Promise<boolean> {
    if (!this.#pins.has(name)) return false;
    await this.#change((pins) => pins.delete(name));
    return true;
  }

  /** One after the other. */
  #change(change: (pins: Map<string, Pin>) => void): Promise<void> {
    const work = this.#work.then(() => this.#write(change));
    this.#work = work.catch(() => undefined);
    return work;
  }

  /** On the disk first. */
  async #write(change: (pins: Map<string, Pin>) => void): Promise<void> {
    const changed = new Map(this.#pins);
    change(changed);
    await replaceWhole(this.#files, this.#path, encodePins(changed.values()));
    change(this.#pins);
  }
}

export interface PinsOptions {
  readonly files: FilePort;
  /** `v1` in the store's directory. */
  readonly dir: string;
  /** Asked each time: it may change. */
  readonly quotaBytes: () => number;
  readonly log: Logger;
}

function pathOf({ dir }: PinsOptions): string {
  return join(dir, 'pins.json');
}

function encodePins(pins: Iterable<Pin>): Buffer {
  const list = Array.from(pins, ({ name, digest, at, blobs }) => ({ name, digest, at, blobs: [...blobs] }));
  return Buffer.from(JSON.stringify({ format: FORMAT, pins: list }));
}

/** Throws where it is no file of pins. */
export function parsePins(bytes: Buffer): Map<string, Pin> {
  const file = JSON.parse(bytes.toString()) as { format?: unknown; pins?: unknown } | null;
  if (file?.format !== FORMAT || !Array.isArray(file.pins)) throw new Error('it has another form');
  return new Map(file.pins.map((value) => pinOf(value)).map((pin) => [pin.name, pin]));
}

function pinOf(value: unknown): Pin {
  const { name, digest, at, blobs } = (value ?? {}) as Record<string, unknown>;
  const parsed = typeof digest === 'string' ? parseDigest(digest) : undefined;
  if (typeof name !== 'string' || !parsed || typeof at !== 'number' || !Array.isArray(blobs)) {
    throw new Error('a pin has another form');
  }
  const pairs = blobs.map((pair: unknown): [Digest, number] => {
    const [text, size] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const of = typeof text === 'string' ? parseDigest(text) : undefined;
    if (!of || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
      throw new Error('a blob has another form');
    return [of, size];
  });
  return { name, digest: parsed, at, blobs: new Map(pairs) };
}
