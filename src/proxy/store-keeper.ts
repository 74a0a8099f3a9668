import type { Clock } from '../base/clock.ts';
import { parseDigest, type Digest } from '../base/digest.ts';
import { parseManifest, MANIFEST_MAX_BYTES } from '../registry/manifest.ts';
import { isManifestType } from '../registry/media-types.ts';
import { parseReference, type Reference } from '../registry/reference.ts';
import type { StoredBlob } from '../store/blob-store.ts';
import type { DiskStore, StoredBlobInfo } from '../store/disk-store.ts';
import type { Refs } from '../store/refs.ts';
import {
  BlobNotHere,
  BlobPinned,
  ImageNotHere,
  ImageNotWhole,
  NotPinned,
  StoreAskInvalid,
  StoreNotOpen,
} from './store-errors.ts';

/** Manifests below an image's own: an index, its manifests, and one level more. */
const MAX_DEPTH = 3;

/** A blob in this node's store. */
export interface KeptBlob extends StoredBlobInfo {
  /** `registry/repository` through which it was read. */
  readonly repositories: readonly string[];
  /** Tags that stand for it, as images. */
  readonly images: readonly string[];
}

/** What was removed, or would be; sizes in bytes. */
export interface Removal {
  readonly removed: readonly { readonly digest: Digest; readonly size: number; readonly why: string }[];
  /** What was asked for and stays, and why. */
  readonly kept: readonly { readonly digest: Digest; readonly size: number; readonly why: string }[];
}

export interface KeeperDeps {
  /** Undefined while it is not open. */
  readonly store: () => DiskStore | undefined;
  readonly refs: Refs;
  readonly clock: Clock;
}

/** What an operator sees of this node's store, and does with it. What is being read stays readable to its readers whatever goes. */
export class StoreKeeper {
  readonly #deps: KeeperDeps;

  constructor(deps: KeeperDeps) {
    this.#deps = deps;
  }

  /** Throws STORE_NOT_OPEN. */
  async list() {
    const store = this.#store;
    const { repositories, images } = await this.#known();
    const blobs = Array.from(store.inventory(), (blob): KeptBlob => ({
      ...blob,
      repositories: [...(repositories.get(blob.digest) ?? [])].sort(),
      images: [...(images.get(blob.digest) ?? [])].sort(),
    }));
    const partial = Array.from(store.idle(), ([digest, bytes]) => ({ digest, bytes }));
    const pins = store.pins().map(({ name, digest, at, blobs }) => {
      const bytes = [...blobs.values()].reduce((sum, size) => sum + size, 0);
      return { image: name, digest, at: new Date(at).toISOString(), blobs: blobs.size, bytes };
    });
    return {
      ...store.usage(),
      blobs: blobs.map((blob) => ({ ...blob, lastUse: new Date(blob.lastUse).toISOString() })),
      partial,
      pins,
    };
  }

  /**
   * Removes a blob by its digest, or an image: what other images here need too stays. Throws BLOB_NOT_HERE, IMAGE_NOT_HERE, BLOB_PINNED
   * (a digest), STORE_ASK_INVALID, STORE_NOT_OPEN.
   */
  async remove(what: string, isDryRun: boolean): Promise<Removal> {
    const store = this.#store;
    const digest = parseDigest(what);
    if (digest) {
      const idle = store.idle().get(digest);
      const size = store.sizeOf(digest) ?? idle;
      if (size === undefined) throw new BlobNotHere({ digest });
      const pins = store.pins().filter(({ blobs }) => blobs.has(digest));
      if (pins.length > 0) throw new BlobPinned({ digest, pins: pins.map(({ name }) => name).join(', ') });
      return this.#removeAll(store, [{ digest, size, why: 'asked for' }], [], isDryRun);
    }
    const reference = referenceIn(what);
    const top = await this.#digestOf(reference, what);
    const parts = await this.#partsOf(store, top);
    const pinned = new Set(store.pins().flatMap(({ blobs }) => [...blobs.keys()]));
    const shared = await this.#neededByOthers(store, parts);
    const removed: Removal['removed'][number][] = [];
    const kept: Removal['kept'][number][] = [];
    for (const digest of parts.keys()) {
      const size = store.sizeOf(digest);
      if (size === undefined) continue;
      if (pinned.has(digest)) kept.push({ digest, size, why: 'pinned' });
      else if (shared.has(digest)) kept.push({ digest, size, why: 'another image here needs it' });
      else removed.push({ digest, size, why: 'asked for' });
    }
    return this.#removeAll(store, removed, kept, isDryRun);
  }

  /**
   * Removes parts that nobody fetches now, blobs that belong to no repository, and with `keepBytes` the least recently used until the
   * store takes no more. What is pinned or being read stays. Throws STORE_NOT_OPEN.
   */
  async collect(keepBytes: number | undefined, isDryRun: boolean): Promise<Removal> {
    const store = this.#store;
    const { repositories } = await this.#known();
    const removed: Removal['removed'][number][] = [];
    for (const [digest, size] of store.idle()) removed.push({ digest, size, why: 'a part that nobody fetches' });
    const needed = await this.#neededByOthers(store, new Map());
    const rest: StoredBlobInfo[] = [];
    for (const blob of store.inventory()) {
      const { digest, size, isPinned, isInUse } = blob;
      if (isPinned || isInUse) continue;
      if (!repositories.has(digest) && !needed.has(digest)) removed.push({ digest, size, why: 'of no repository' });
      else rest.push(blob);
    }
    let bytes = store.usage().bytes - removed.reduce((sum, { size }) => sum + size, 0);
    // The inventory has the most recently used first.
    for (const { digest, size } of rest.reverse()) {
      if (keepBytes === undefined || bytes <= keepBytes) break;
      removed.push({ digest, size, why: 'least recently used' });
      bytes -= size;
    }
    return this.#removeAll(store, removed, [], isDryRun);
  }

  /**
   * Keeps an image from being evicted, in this process and the next ones. Throws IMAGE_NOT_HERE, IMAGE_NOT_WHOLE, PIN_TOO_LARGE, PINS_FULL,
   * STORE_ASK_INVALID, STORE_NOT_OPEN.
   */
  async pin(image: string): Promise<{ image: string; digest: Digest; blobs: number; bytes: number }> {
    const store = this.#store;
    const reference = referenceIn(image);
    const digest = await this.#digestOf(reference, image);
    const parts = await this.#partsOf(store, digest);
    const blobs = new Map<Digest, number>();
    let missing = 0;
    for (const [part, isNeeded] of parts) {
      const size = store.sizeOf(part);
      if (size !== undefined) blobs.set(part, size);
      else if (isNeeded) missing += 1;
    }
    if (missing > 0) throw new ImageNotWhole({ image, missing });
    const name = nameOf(reference);
    await store.pin({ name, digest, at: this.#deps.clock.now(), blobs });
    return { image: name, digest, blobs: blobs.size, bytes: [...blobs.values()].reduce((sum, size) => sum + size, 0) };
  }

  /** Throws NOT_PINNED, STORE_ASK_INVALID, STORE_NOT_OPEN. */
  async unpin(image: string): Promise<{ image: string }> {
    const name = nameOf(referenceIn(image));
    if (!(await this.#store.unpin(name))) throw new NotPinned({ image: name });
    return { image: name };
  }

  get #store(): DiskStore {
    const store = this.#deps.store();
    if (!store) throw new StoreNotOpen({});
    return store;
  }

  async #removeAll(
    store: DiskStore,
    removed: Removal['removed'],
    kept: Removal['kept'],
    isDryRun: boolean,
  ): Promise<Removal> {
    for (const { digest } of isDryRun ? [] : removed) {
      if (!(await store.remove(digest))) store.removeIdle(digest);
    }
    return { removed, kept };
  }

  /** Who has read what: repositories by digest, and images by the digest that their tag stands for. */
  async #known(): Promise<{ repositories: Map<Digest, Set<string>>; images: Map<Digest, Set<string>> }> {
    const repositories = new Map<Digest, Set<string>>();
    const images = new Map<Digest, Set<string>>();
    for await (const { key, links, tags } of this.#deps.refs.all()) {
      const name = `${key.registry}/${key.repository}`;
      for (const digest of links.keys()) addTo(repositories, digest, name);
      for (const [tag, { any, single }] of tags) {
        for (const target of [any, single]) if (target) addTo(images, target.digest, `${name}:${tag}`);
      }
    }
    return { repositories, images };
  }

  async #digestOf({ host, repository, tag, digest }: Reference, image: string): Promise<Digest> {
    if (digest) return digest;
    const key = { registry: host, repository };
    const { refs } = this.#deps;
    const known = (await refs.tagOf(key, tag ?? 'latest', 'any')) ?? (await refs.tagOf(key, tag ?? 'latest', 'single'));
    if (!known) throw new ImageNotHere({ image });
    return known.digest;
  }

  /**
   * The digests of an image, as far as its manifests are here, and whether the image needs each: of an index those manifests that
   * are not here were not wanted. Throws IMAGE_NOT_HERE.
   */
  async #partsOf(store: DiskStore, top: Digest): Promise<Map<Digest, boolean>> {
    const parts = new Map<Digest, boolean>();
    const add = async (digest: Digest, depth: number): Promise<void> => {
      parts.set(digest, true);
      const children = await childrenOf(store, digest);
      if (!children && depth === 0) throw new ImageNotHere({ image: digest });
      for (const { digest: child, kind, foreign } of children ?? []) {
        if (foreign) continue;
        if (kind === 'blob') parts.set(child, true);
        else if (store.sizeOf(child) !== undefined && depth < MAX_DEPTH) await add(child, depth + 1);
      }
    };
    await add(top, 0);
    return parts;
  }

  /** What manifests in the store name, those among `without` apart. */
  async #neededByOthers(store: DiskStore, without: ReadonlyMap<Digest, boolean>): Promise<Set<Digest>> {
    const needed = new Set<Digest>();
    const seen = new Set<Digest>();
    for await (const { links } of this.#deps.refs.all()) {
      for (const { digest, mediaType = '' } of links.values()) {
        if (!isManifestType(mediaType) || without.has(digest) || seen.has(digest)) continue;
        seen.add(digest);
        for (const child of (await childrenOf(store, digest)) ?? []) needed.add(child.digest);
      }
    }
    return needed;
  }
}

async function childrenOf(store: DiskStore, digest: Digest) {
  const size = store.sizeOf(digest);
  if (size === undefined || size > MANIFEST_MAX_BYTES) return undefined;
  const blob = await store.open(digest).catch(() => undefined);
  if (!blob) return undefined;
  try {
    return parseManifest(await readAll(blob), '').children;
  } catch {
    return undefined;
  } finally {
    await blob.close();
  }
}

async function readAll(blob: StoredBlob): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(blob.size);
  for (let at = 0; at < bytes.length;) at += await blob.read(bytes.subarray(at), at);
  return bytes;
}

/** Throws STORE_ASK_INVALID. */
function referenceIn(image: string): Reference {
  const reference = parseReference(image);
  if (!reference) throw new StoreAskInvalid({ why: `${JSON.stringify(image)} is neither a digest nor an image` });
  return reference;
}

function nameOf({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

function addTo(map: Map<Digest, Set<string>>, digest: Digest, name: string): void {
  const names = map.get(digest);
  if (names) names.add(name);
  else map.set(digest, new Set([name]));
}
