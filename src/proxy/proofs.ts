import { randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { codeAndTodo } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { KiB } from '../base/units.ts';
import type { BlobHead, ByteRange, ByteSink } from '../http/byte-sink.ts';
import { BlobNotProved } from '../p2p/peer/errors.ts';
import { readWitness, type Witness } from '../p2p/peer/witness.ts';
import { retrying } from '../registry/retry.ts';
import type { OriginBlob } from '../registry/upstream.ts';
import type { Scope } from './namespace.ts';
import type { OriginAsking } from './origin-asking.ts';

/** So many bytes are compared, at a place that nobody can foresee. */
export const PROOF_BYTES = 64;
/** A blob of so many bytes at most is compared as a whole. */
export const WHOLE_BYTES = 16 * KiB;
/** Where a registry sends the whole blob, whatever is asked for, a place within its first so many bytes is compared. */
export const NEAR_BYTES = 64 * KiB;
/** Of so many places the one is taken whose bytes are most unlike each other: zeros could be guessed. */
const PLACES = 4;
/** After a wrong answer a registry is not asked about that digest for so long, in milliseconds; twice as long after each further one. */
export const WRONG_MS = 60_000;
const MAX_WRONG_MS = 24 * 60 * 60_000;
const MAX_WRONG = 10_000;

/**
 * Has registries prove that they have private blobs that others have brought here. A "yes" to HEAD says nothing: any registry
 * can say it of any digest, and who reads there would get what is private elsewhere (I4).
 */
export class Proofs {
  readonly #asking: OriginAsking;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By registry and digest: until when it is not asked again, and how often it was wrong. */
  readonly #wrong = new LRUCache<string, { readonly until: number; readonly times: number }>({ max: MAX_WRONG });

  constructor({ asking, clock, log }: { asking: OriginAsking; clock: Clock; log: Logger }) {
    this.#asking = asking;
    this.#clock = clock;
    this.#log = log;
  }

  /** Resolves when the registry has given bytes of the blob that are those of `witness`. Rejects with BLOB_NOT_PROVED, OriginErrors. */
  async blob(scope: Scope, digest: Digest, witness: Witness): Promise<void> {
    const { upstream, repository } = scope;
    const key = `${upstream.host} ${digest} ${witness.isVerified ? '' : 'coming'}`;
    const wrong = this.#wrong.get(key);
    // Who guesses is not to guess often.
    if (wrong && wrong.until > this.#clock.monotonic()) {
      throw new BlobNotProved({ host: upstream.host, repository, digest, seen: 'other bytes a while ago' });
    }
    const seen = await this.#compare(scope, upstream.blob(repository, digest), witness);
    if (seen === undefined) {
      this.#wrong.delete(key);
      return;
    }
    const times = wrong?.times ?? 0;
    const until = this.#clock.monotonic() + Math.min(WRONG_MS * 2 ** times, MAX_WRONG_MS);
    this.#wrong.set(key, { until, times: times + 1 });
    // It may be the others' bytes that are wrong: then it is not to be blamed for what is here for sure.
    const whose = witness.isVerified ? '' : ', than come in from elsewhere';
    const error = new BlobNotProved({ host: upstream.host, repository, digest, seen: seen + whose });
    this.#log.warn({ ...codeAndTodo(error), upstream: upstream.key, repository, digest }, error.message);
    throw error;
  }

  /** What it gives instead; undefined: the same bytes. */
  async #compare(scope: Scope, blob: OriginBlob, witness: Witness): Promise<string | undefined> {
    const ask = (place: Place, isFar: boolean) =>
      this.#asking.ask(scope.upstream, false, (signal) =>
        retrying(() => sampleOf(blob, place, isFar, signal), this.#clock, signal),
      );
    let place = await placeIn(witness, witness.end);
    const near = Math.max(NEAR_BYTES, witness.start + PROOF_BYTES);
    let given = await ask(place, place.end > near);
    if (!given) {
      place = await placeIn(witness, Math.min(witness.end, near));
      given = (await ask(place, false))!;
    }
    const { bytes, total } = given;
    if (total !== undefined && total !== witness.size) return `a blob of another size (${total} bytes)`;
    const isRight = bytes.equals(await readWitness(witness, place.start, place.end - place.start));
    return isRight ? undefined : `other bytes, at ${place.start}`;
  }
}

interface Place extends ByteRange {
  readonly end: number;
}

/** The bytes of a place. Undefined: it `isFar` into a blob that comes whole, whatever is asked for. */
async function sampleOf(
  blob: OriginBlob,
  place: Place,
  isFar: boolean,
  signal: AbortSignal,
): Promise<{ readonly bytes: Buffer; readonly total: number | undefined } | undefined> {
  const sink = new SampleSink(isFar);
  try {
    await blob.read(place, sink, signal);
  } catch (error) {
    if (error === TOO_FAR) return undefined;
    throw error;
  }
  return { bytes: Buffer.concat(sink.parts), total: sink.total };
}

const TOO_FAR = new Error('the whole blob comes');

class SampleSink implements ByteSink {
  readonly #isFar: boolean;
  readonly parts: Buffer[] = [];
  total: number | undefined;

  constructor(isFar: boolean) {
    this.#isFar = isFar;
  }

  head({ total, ranges }: BlobHead): void {
    if (!ranges && this.#isFar) throw TOO_FAR;
    this.total = total;
  }

  write(chunk: Uint8Array): boolean {
    this.parts.push(Buffer.from(chunk));
    return true;
  }

  drained(): Promise<void> {
    return Promise.resolve();
  }
}

/** A place before `end`, by chance; a small blob as a whole. */
async function placeIn(witness: Witness, end: number): Promise<Place> {
  const { size, start } = witness;
  const isWhole = start === 0 && witness.end === size && size <= WHOLE_BYTES;
  if (isWhole || end - start <= PROOF_BYTES) return { start, end };
  let best: Place | undefined;
  let most = -1;
  for (let tries = 0; tries < PLACES; tries += 1) {
    const at = start + randomInt(end - start - PROOF_BYTES + 1);
    const different = new Set(await readWitness(witness, at, PROOF_BYTES)).size;
    if (different <= most) continue;
    most = different;
    best = { start: at, end: at + PROOF_BYTES };
  }
  return best!;
}
