import { randomInt } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import { codeAndTodo } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { KiB } from '../base/units.ts';
import { BlobNotProved } from '../p2p/peer/errors.ts';
import { readWitness, type Witness } from '../p2p/peer/witness.ts';
import { OriginOtherBytes } from '../registry/errors.ts';
import { MANIFEST_ACCEPT } from '../registry/media-types.ts';
import type { Stretch } from '../registry/upstream.ts';
import type { Scope } from './namespace.ts';

/** So many bytes are compared, at a place that nobody can foresee. */
export const PROOF_BYTES = 64;
/** A blob of so many bytes at most is compared as a whole. */
export const WHOLE_BYTES = 16 * KiB;
/** Where an origin sends the whole blob, whatever is asked for, a place within its first so many bytes is compared. */
export const NEAR_BYTES = 64 * KiB;
/** Of so many places the one is taken whose bytes are most unlike each other: zeros could be guessed. */
const PLACES = 4;
/** After a wrong answer a registry is not asked about that digest for so long, in milliseconds; twice as long after each further one. */
export const WRONG_MS = 60_000;
const MAX_WRONG_MS = 24 * 60 * 60_000;
const MAX_WRONG = 10_000;
const MAX_SHOWN = 10_000;

/** What an origin says of something. */
export interface Said {
  readonly size?: number | undefined;
  readonly mediaType?: string | undefined;
}

/**
 * Has origins show that they have what others have brought here. A "yes" to HEAD says nothing: any registry can say it of any
 * digest, and who reads there would get what is private elsewhere (I4).
 */
export class Proofs {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By registry and digest: until when it is not asked again, and how often it was wrong. */
  readonly #wrong = new LRUCache<string, { readonly until: number; readonly times: number }>({ max: MAX_WRONG });

  /** What registries have shown under which repository. It is no right, and stays when a right ends: who comes next is asked for by HEAD. */
  readonly #shown = new LRUCache<string, true>({ max: MAX_SHOWN });

  constructor({ clock, log }: { clock: Clock; log: Logger }) {
    this.#clock = clock;
    this.#log = log;
  }

  /** The registry has shown that it has it there, or given it. */
  show({ upstream, repository }: Scope, digest: Digest): void {
    this.#shown.set(keyOf(`${upstream.host}/${repository}`, digest), true);
  }

  isShown({ upstream, repository }: Scope, digest: Digest): boolean {
    return this.#shown.get(keyOf(`${upstream.host}/${repository}`, digest)) === true;
  }

  /** Throws BLOB_NOT_PROVED where the registry was wrong about it a while ago: who guesses is not to guess often. */
  check({ upstream: { host }, repository }: Scope, digest: Digest, { isVerified }: Witness): void {
    const wrong = this.#wrong.get(wrongKey(host, digest, isVerified));
    if (wrong && wrong.until > this.#clock.monotonic()) {
      throw new BlobNotProved({ host, repository, digest, seen: 'other bytes a while ago' });
    }
  }

  /** Resolves when the registry has given bytes of the blob that are those of `witness`. Throws BLOB_NOT_PROVED, OriginErrors. */
  async blob(scope: Scope, digest: Digest, witness: Witness, signal: AbortSignal): Promise<Said> {
    const { upstream, repository } = scope;
    const at = await placeIn(witness, witness.end);
    const near = await placeIn(witness, Math.min(witness.end, Math.max(NEAR_BYTES, witness.start + PROOF_BYTES)));
    const { start, bytes, total } = await upstream.sampleBlob(repository, digest, at, near, signal);
    const { size } = witness;
    if (total !== undefined && size !== undefined && total !== size) {
      throw this.#notProved(scope, digest, witness, `a blob of ${total} bytes instead of ${size}`);
    }
    const wanted = start === at.start ? at : near;
    const isRight = bytes.equals(await readWitness(witness, start, wanted.end - start));
    if (!isRight) throw this.#notProved(scope, digest, witness, `other bytes, at ${start}`);
    this.#wrong.delete(wrongKey(upstream.host, digest, witness.isVerified));
    return { size: witness.isVerified ? size : total };
  }

  /** The same of a manifest: it is small, and its digest says whether it is the right one. */
  async manifest(scope: Scope, digest: Digest, witness: Witness, signal: AbortSignal): Promise<Said> {
    const { upstream, repository } = scope;
    try {
      const { bytes, mediaType } = await upstream.getManifest(repository, { digest }, MANIFEST_ACCEPT, signal);
      return { size: bytes.length, mediaType };
    } catch (error) {
      if (!(error instanceof OriginOtherBytes)) throw error;
      throw this.#notProved(scope, digest, witness, 'other bytes', error);
    }
  }

  #notProved(
    { upstream, repository }: Scope,
    digest: Digest,
    { isVerified }: Witness,
    what: string,
    cause?: unknown,
  ): Error {
    // It may be the others' bytes that are wrong: then it is not to be blamed for what is here for sure.
    const seen = isVerified ? what : `${what}, than come in from elsewhere`;
    const key = wrongKey(upstream.host, digest, isVerified);
    const times = this.#wrong.get(key)?.times ?? 0;
    const until = this.#clock.monotonic() + Math.min(WRONG_MS * 2 ** times, MAX_WRONG_MS);
    this.#wrong.set(key, { until, times: times + 1 });
    const error = new BlobNotProved({ host: upstream.host, repository, digest, seen }, { cause });
    this.#log.warn({ ...codeAndTodo(error), upstream: upstream.key, repository, digest, seen }, error.message);
    return error;
  }
}

function wrongKey(host: string, digest: Digest, isVerified: boolean): string {
  return `${keyOf(host, digest)} ${isVerified ? '' : 'coming'}`;
}

function keyOf(where: string, digest: Digest): string {
  return `${where} ${digest}`;
}

/** A place before `end`, by chance; a small blob as a whole. */
async function placeIn(witness: Witness, end: number): Promise<Stretch> {
  const { size, start } = witness;
  const isWhole = start === 0 && witness.end === size && size <= WHOLE_BYTES;
  if (isWhole || end - start <= PROOF_BYTES) return { start, end };
  let best: Stretch | undefined;
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
