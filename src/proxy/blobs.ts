import type { Digest } from '../base/digest.ts';
import { sendBody } from '../http/body-out.ts';
import type { BufferPool } from '../http/buffer-pool.ts';
import { contentRange, MAX_RANGES, parseRange, resolveRange, type RangeAnswer, type Slice } from '../http/range.ts';
import type { Downloads, OpenBlob } from '../p2p/peer/downloads.ts';
import { originSource } from '../p2p/peer/origin-source.ts';
import type { Access, Grant } from './access.ts';
import { planByteranges } from './byteranges.ts';
import { RangesRefused, RangeUnsatisfiable } from './errors.ts';
import { etagOf, noneMatch, rangeApplies } from './etag.ts';
import type { Exchange } from './exchange.ts';
import type { ImageNames } from './image-names.ts';
import { originName } from './namespace.ts';
import type { Proofs } from './proofs.ts';
import { unlessAborted } from './unless-aborted.ts';

/** Who asks: a client, by its exchange, or the node itself. */
type Asker = Pick<Exchange, 'scope' | 'signal'>;

const MEDIA_TYPE = 'application/octet-stream';

/** Serves blobs: whole, and by range, from the store or while they come in. */
export class Blobs {
  readonly #access: Access;
  readonly #proofs: Proofs;
  readonly #downloads: Pick<Downloads, 'open' | 'sizeFor'>;
  readonly #images: ImageNames;
  readonly #pool: BufferPool;

  constructor(deps: {
    access: Access;
    proofs: Proofs;
    downloads: Pick<Downloads, 'open' | 'sizeFor'>;
    images: ImageNames;
    pool: BufferPool;
  }) {
    this.#access = deps.access;
    this.#proofs = deps.proofs;
    this.#downloads = deps.downloads;
    this.#images = deps.images;
    this.#pool = deps.pool;
  }

  /** Opens the whole of a blob for the node itself, which asks as its configuration says. Rejects as `Downloads.open`. */
  async open(asker: Asker, digest: Digest): Promise<OpenBlob> {
    const { scope, signal } = asker;
    const grant =
      this.#access.toDigestNow(scope, digest, 'blob') ??
      (await unlessAborted(this.#access.toDigest(scope, digest, 'blob'), signal));
    return this.#open(asker, grant, undefined);
  }

  async serve(exchange: Exchange, digest: Digest): Promise<void> {
    const { scope } = exchange;
    this.#access.admit(scope, exchange.asker);
    const grant =
      this.#access.toDigestNow(scope, digest, 'blob') ??
      (await exchange.unlessOver(this.#access.toDigest(scope, digest, 'blob')));
    const headers = headersOf(exchange, grant);
    if (noneMatch(exchange.header('if-none-match'), digest)) {
      exchange.head(304, headers);
      exchange.response.end();
      return;
    }
    const size = this.#downloads.sizeFor(digest, originName(scope)) ?? grant.size;
    if (exchange.isHead) {
      // Where nobody knows the length there is none: a HEAD downloads nothing.
      exchange.head(200, {
        ...headers,
        'Content-Type': MEDIA_TYPE,
        ...(size === undefined ? {} : { 'Content-Length': size }),
      });
      exchange.response.end();
      return;
    }
    await this.#send(exchange, grant, size, headers);
  }

  async #send(
    exchange: Exchange,
    grant: Grant,
    size: number | undefined,
    headers: Record<string, string>,
  ): Promise<void> {
    const asked = rangeApplies(exchange.header('if-range'), grant.digest)
      ? parseRange(exchange.header('range'))
      : undefined;
    const guess = size === undefined ? undefined : satisfiable(resolveRange(asked, size), size);
    let blob = await this.#open(exchange, grant, guess && firstOf(guess));
    try {
      const answer = satisfiable(resolveRange(asked, blob.size), blob.size);
      if (size !== undefined && size !== blob.size) {
        // A manifest was wrong about its size, so another range was opened than is to be sent.
        blob.close();
        blob = await this.#open(exchange, grant, firstOf(answer));
      }
      if (answer.kind === 'multi') await this.#sendParts(exchange, grant, blob, answer.slices, headers);
      else await this.#sendOne(exchange, blob, answer, headers);
    } finally {
      blob.close();
    }
  }

  async #sendOne(
    exchange: Exchange,
    blob: OpenBlob,
    answer: { kind: 'whole' } | { kind: 'single'; slice: Slice },
    headers: Record<string, string>,
  ): Promise<void> {
    const slice = answer.kind === 'single' ? answer.slice : { start: 0, end: blob.size };
    const partial = answer.kind === 'single' ? { 'Content-Range': contentRange(slice, blob.size) } : {};
    exchange.head(answer.kind === 'single' ? 206 : 200, {
      ...headers,
      ...partial,
      'Content-Type': MEDIA_TYPE,
      'Content-Length': slice.end - slice.start,
      'X-Hawker-Source': sourceOf(blob, slice),
    });
    if (slice.end > slice.start) exchange.firstByte(blob.sourceAt(slice.start));
    await this.#sendSlice(exchange, blob, slice);
    exchange.response.end();
  }

  /** Each part is opened for itself, so that what is not here yet comes in in the order in which it is needed. */
  async #sendParts(
    exchange: Exchange,
    grant: Grant,
    blob: OpenBlob,
    slices: readonly Slice[],
    headers: Record<string, string>,
  ): Promise<void> {
    const plan = planByteranges(slices, blob.size, MEDIA_TYPE);
    const { response } = exchange;
    exchange.head(206, {
      ...headers,
      'Content-Type': plan.contentType,
      'Content-Length': plan.length,
      'X-Hawker-Source': sourceOf(blob, slices[0]!),
    });
    exchange.firstByte(blob.sourceAt(slices[0]!.start));
    for (const [index, { preamble, slice }] of plan.parts.entries()) {
      const part = index === 0 ? blob : await this.#open(exchange, grant, slice);
      try {
        response.write(preamble);
        await this.#sendSlice(exchange, part, slice);
      } finally {
        part.close();
      }
    }
    response.end(plan.epilogue);
  }

  async #sendSlice(exchange: Exchange, blob: OpenBlob, slice: Slice): Promise<void> {
    const hangUp = (): void => blob.close();
    exchange.signal.addEventListener('abort', hangUp, { once: true });
    try {
      await sendBody(exchange.response, blob, slice, this.#pool, (bytes, position) =>
        exchange.sent(blob.sourceAt(position), bytes),
      );
      exchange.signal.throwIfAborted();
    } finally {
      exchange.signal.removeEventListener('abort', hangUp);
    }
  }

  async #open({ scope, signal }: Asker, grant: Grant, range: Slice | undefined): Promise<OpenBlob> {
    const { usesCredentials } = scope.upstream;
    const origin = originSource(scope.upstream.blob(scope.repository, grant.digest), !usesCredentials);
    try {
      const { digest, size, confirm } = grant;
      const blob = await this.#downloads.open(
        {
          digest,
          origin,
          size,
          confirm,
          prove: (witness) => this.#proofs.blob(scope, digest, witness),
          image: this.#images.imageOf(digest),
          isPrivate: usesCredentials,
        },
        range,
        signal,
      );
      await this.#access.given(scope, grant);
      return blob;
    } catch (error) {
      await this.#access.denied(scope, grant.digest, error);
      throw error;
    }
  }
}

/** What can be sent; throws RANGE_UNSATISFIABLE (416) and RANGES_REFUSED (400). */
function satisfiable(answer: RangeAnswer, size: number): Exclude<RangeAnswer, { kind: 'unsatisfiable' | 'refused' }> {
  if (answer.kind === 'unsatisfiable') throw new RangeUnsatisfiable({ size });
  if (answer.kind === 'refused') throw new RangesRefused({ most: MAX_RANGES });
  return answer;
}

/** The range that a download is opened with; undefined: the whole. */
function firstOf(answer: Exclude<RangeAnswer, { kind: 'unsatisfiable' | 'refused' }>): Slice | undefined {
  if (answer.kind === 'whole') return undefined;
  return answer.kind === 'single' ? answer.slice : answer.slices[0];
}

function sourceOf(blob: OpenBlob, slice: Slice): string {
  if (slice.end === slice.start) return blob.sourceAt(slice.start);
  const first = blob.sourceAt(slice.start);
  return blob.sourceAt(slice.end - 1) === first ? first : 'mixed';
}

function headersOf({ scope }: Exchange, { digest, warning }: Grant): Record<string, string> {
  return {
    'Docker-Content-Digest': digest,
    ETag: etagOf(digest),
    'Accept-Ranges': 'bytes',
    // What a credential has read is for its user's caches only.
    'Cache-Control': `${scope.upstream.usesCredentials ? 'private' : 'public'}, max-age=31536000, immutable`,
    ...(warning === undefined ? {} : { Warning: warning }),
  };
}
