import type { Digest } from '../base/digest.ts';
import type { Downloads } from '../p2p/peer/downloads.ts';
import type { PreheatProgress, PreheatWork } from '../p2p/peer/preheat-orders.ts';
import { parseManifest, type ManifestChild } from '../registry/manifest.ts';
import { isIndexType } from '../registry/media-types.ts';
import { bestFor, formatPlatform, ownPlatform, parsePlatform, type Platform } from '../registry/platform.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import type { Upstreams } from '../registry/upstreams.ts';
import type { Blobs } from './blobs.ts';
import { UpstreamUnknown } from './errors.ts';
import type { ManifestReference, Manifests } from './manifests.ts';
import type { Scope } from './namespace.ts';
import {
  PreheatDiskFull,
  PreheatEvicted,
  PreheatImageInvalid,
  PreheatNoPlatform,
  PreheatNoRoom,
  PreheatNotKept,
  PreheatPlatformInvalid,
  PreheatStale,
  PreheatTooLarge,
  PreheatTooMany,
} from './preheat-errors.ts';
import { NOT_KEPT } from './tags.ts';

/** Blobs of one image that come in at the same time, as docker has it. */
const BLOBS_AT_ONCE = 3;
/** Manifests and blobs of one order. */
const MAX_PARTS = 2048;
/** An index may name indexes. */
const MAX_DEPTH = 3;

/** What is asked of the store beside its blobs. */
export interface StoreRoom {
  /** `pinned`: what may never make way. */
  usage(): { readonly quota: number; readonly pinned?: number };
  disk(): Promise<{ readonly roomBytes: number; readonly reserveBytes: number; readonly failure: string | undefined }>;
}

interface Asker {
  readonly scope: Scope;
  readonly signal: AbortSignal;
}

/** What an image is made of: sizes in bytes by digest. */
type Parts = Map<Digest, number>;

/**
 * Fetches whole images into the store, for an operator rather than for a client: with the configured credential, within the
 * allow-list, through the downloads that clients share, so that a cluster that fetches at once reads one copy.
 */
export class Preheating {
  readonly #upstreams: Pick<Upstreams, 'find'>;
  readonly #manifests: Manifests;
  readonly #blobs: Blobs;
  readonly #downloads: Pick<Downloads, 'sizeOf' | 'settled' | 'abandon'>;
  readonly #room: StoreRoom;

  constructor(deps: {
    upstreams: Pick<Upstreams, 'find'>;
    manifests: Manifests;
    blobs: Blobs;
    downloads: Pick<Downloads, 'sizeOf' | 'settled' | 'abandon'>;
    room: StoreRoom;
  }) {
    this.#upstreams = deps.upstreams;
    this.#manifests = deps.manifests;
    this.#blobs = deps.blobs;
    this.#downloads = deps.downloads;
    this.#room = deps.room;
  }

  /**
   * Resolves when all of the image is in the store. Rejects with a PREHEAT_… error, UPSTREAM_UNKNOWN, what the registry says
   * (ORIGIN_…), BLOB_UNAVAILABLE, or the signal's reason; what has come stays.
   */
  async fetch(
    { image, digest, platforms }: PreheatWork,
    progress: PreheatProgress,
    signal: AbortSignal,
  ): Promise<void> {
    const reference = parseReference(image);
    if (!reference) throw new PreheatImageInvalid({ image });
    const wanted = platformsIn(platforms);
    const upstream = this.#upstreams.find(reference.host);
    if (!upstream) throw new UpstreamUnknown({ host: reference.host });
    const scope: Scope = { upstream, repository: reference.repository, ns: undefined, clientPath: '' };
    const asker = { scope, signal };
    const parts: Parts = new Map();
    const blobs = await this.#readManifest(asker, referenceOf(reference, digest), wanted, parts, progress, image);
    await this.#checkRoom(parts, blobs);
    for (const { digest, size } of blobs.values()) {
      parts.set(digest, size);
      progress.blobs += 1;
      progress.bytes += size;
    }
    const queue = [...blobs.values()];
    const workers = Array.from({ length: BLOBS_AT_ONCE }, async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        try {
          await this.#fetchBlob(asker, next, progress);
        } catch (error) {
          // The others end with what they are at.
          queue.length = 0;
          throw error;
        }
      }
    });
    for (const result of await Promise.allSettled(workers)) if (result.status === 'rejected') throw result.reason;
    const evicted = [...parts.keys()].filter((digest) => this.#downloads.sizeOf(digest) === undefined);
    if (evicted.length > 0) throw new PreheatEvicted({ count: evicted.length });
  }

  /** Reads a manifest, and those that it names for the platforms: the blobs of all of them. */
  async #readManifest(
    asker: Asker,
    reference: ManifestReference,
    wanted: readonly Platform[] | 'all',
    parts: Parts,
    progress: PreheatProgress,
    image: string,
    depth = 0,
  ): Promise<Map<Digest, ManifestChild>> {
    const read = await this.#manifests.read(asker, reference);
    if (read === NOT_KEPT) throw new PreheatNotKept({ image });
    if ('tag' in reference && read.isStale) throw new PreheatStale({ host: asker.scope.upstream.host });
    const { digest, bytes, mediaType } = read;
    await this.#downloads.settled(digest);
    progress.digest ??= digest;
    if (!parts.has(digest)) {
      parts.set(digest, bytes.length);
      progress.blobs += 1;
      progress.blobsHere += 1;
      progress.bytes += bytes.length;
      progress.bytesHere += bytes.length;
    }
    const manifest = parseManifest(bytes, mediaType);
    const blobs = new Map<Digest, ManifestChild>();
    const own = manifest.children.filter(({ foreign }) => !foreign);
    for (const child of own) if (child.kind === 'blob') blobs.set(child.digest, child);
    const manifests = own.filter(({ kind }) => kind === 'manifest');
    const chosen = isIndexType(manifest.mediaType) ? chosenOf(manifests, wanted) : manifests;
    for (const child of depth < MAX_DEPTH ? chosen : []) {
      const more = await this.#readManifest(asker, child, wanted, parts, progress, image, depth + 1);
      for (const [digest, blob] of more) blobs.set(digest, blob);
      if (parts.size + blobs.size > MAX_PARTS) throw new PreheatTooMany({ most: MAX_PARTS });
    }
    return blobs;
  }

  async #checkRoom(parts: Parts, blobs: ReadonlyMap<Digest, ManifestChild>): Promise<void> {
    const { quota, pinned = 0 } = this.#room.usage();
    let bytes = 0;
    let missing = 0;
    for (const size of parts.values()) bytes += size;
    for (const { digest, size } of blobs.values()) {
      bytes += size;
      if (this.#downloads.sizeOf(digest) === undefined) missing += size;
    }
    if (bytes > quota - pinned) throw new PreheatTooLarge({ bytes, quota: quota - pinned });
    if (missing === 0) return;
    const { roomBytes, reserveBytes, failure } = await this.#room.disk();
    if (failure !== undefined) throw new PreheatDiskFull({ bytes: missing, why: `its disk fails: ${failure}` });
    if (missing > roomBytes - reserveBytes) {
      throw new PreheatDiskFull({ bytes: missing, why: 'its disk has less, with what may go from the store' });
    }
  }

  async #fetchBlob(asker: Asker, blob: ManifestChild, progress: PreheatProgress): Promise<void> {
    try {
      await this.#readBlob(asker, blob, progress);
    } finally {
      if (asker.signal.aborted) this.#downloads.abandon(blob.digest);
    }
  }

  async #readBlob(asker: Asker, { digest, size }: ManifestChild, progress: PreheatProgress): Promise<void> {
    const blob = await this.#blobs.open(asker, digest);
    const hangUp = (): void => blob.close();
    asker.signal.addEventListener('abort', hangUp, { once: true });
    let here = 0;
    try {
      asker.signal.throwIfAborted();
      while (here < blob.size) {
        const end = await blob.ready(here);
        if (blob.isThrough === true) throw new PreheatNoRoom({ digest });
        progress.bytesHere += end - here;
        here = end;
      }
      asker.signal.throwIfAborted();
    } catch (error) {
      progress.bytesHere -= here;
      throw asker.signal.aborted ? asker.signal.reason : error;
    } finally {
      asker.signal.removeEventListener('abort', hangUp);
      blob.close();
    }
    // Clients are given the end of a blob a moment before it is kept.
    await this.#downloads.settled(digest);
    if (this.#downloads.sizeOf(digest) === undefined) throw new PreheatNoRoom({ digest });
    // A manifest may be wrong about a size.
    progress.bytesHere += size - here;
    progress.blobsHere += 1;
  }
}

function referenceOf({ tag, digest: own }: Reference, digest: Digest | undefined): ManifestReference {
  const by = digest ?? own;
  return by === undefined ? { tag: tag ?? 'latest' } : { digest: by };
}

/** Throws PREHEAT_PLATFORM_INVALID. */
function platformsIn(texts: readonly string[]): readonly Platform[] | 'all' {
  if (texts.length === 0) return [ownPlatform()];
  if (texts.includes('all')) return 'all';
  return texts.map((text) => {
    const platform = parsePlatform(text);
    if (!platform) throw new PreheatPlatformInvalid({ platform: text });
    return platform;
  });
}

/** Throws PREHEAT_NO_PLATFORM. What names no platform is for all of them. */
function chosenOf(manifests: readonly ManifestChild[], wanted: readonly Platform[] | 'all'): ManifestChild[] {
  const offers = manifests.filter(({ platform }) => platform);
  if (wanted === 'all' || offers.length === 0) return [...manifests];
  const chosen = new Set(manifests.filter(({ platform }) => !platform));
  for (const platform of wanted) {
    const best = bestFor(platform, offers);
    if (!best) {
      const there = offers.map((offer) => formatPlatform(offer.platform!)).filter((text) => text !== 'unknown/unknown');
      throw new PreheatNoPlatform({
        wanted: formatPlatform(platform),
        there: [...new Set(there)].join(', ') || 'none',
      });
    }
    chosen.add(best);
  }
  return [...chosen];
}
