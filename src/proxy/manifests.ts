import { LRUCache } from 'lru-cache';
import type { Clock } from '../base/clock.ts';
import type { Digest } from '../base/digest.ts';
import type { ByteSource } from '../base/metrics.ts';
import type { DownloadRequest } from '../p2p/peer/download.ts';
import type { Downloads, OpenBlob } from '../p2p/peer/downloads.ts';
import { originSource } from '../p2p/peer/origin-source.ts';
import type { PieceSource } from '../p2p/peer/piece-source.ts';
import { MANIFEST_MAX_BYTES, parseManifest, type ManifestChild } from '../registry/manifest.ts';
import { acceptClass, isManifestType, MANIFEST_ACCEPT } from '../registry/media-types.ts';
import type { Refs } from '../store/refs.ts';
import type { Access, Grant } from './access.ts';
import { ManifestTooLarge } from './errors.ts';
import { etagOf, noneMatch } from './etag.ts';
import type { Exchange } from './exchange.ts';
import type { ImageNames } from './image-names.ts';
import { originName, repoKey, type Scope } from './namespace.ts';
import type { OriginAsking } from './origin-asking.ts';
import type { PassThrough } from './passthrough.ts';
import { NOT_KEPT, type TagGrant, type Tags, type Variant } from './tags.ts';
import { unlessAborted } from './unless-aborted.ts';

/** Links from a manifest are written again when it is read so long after the last time, in milliseconds. */
const LINK_AGAIN_MS = 60 * 60_000;
const MAX_LINKED = 10_000;

export type ManifestReference = { readonly tag: string } | { readonly digest: Digest };

/** Who asks: a client, by its exchange, or the node itself. */
type Asker = Pick<Exchange, 'scope' | 'signal'>;

interface Manifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly source: ByteSource;
}

/** Serves manifests, by tag and by digest, and links what they name to their repository. */
export class Manifests {
  readonly #access: Access;
  readonly #tags: Tags;
  readonly #asking: OriginAsking;
  readonly #refs: Refs;
  readonly #downloads: Pick<Downloads, 'open' | 'sizeFor'>;
  readonly #clock: Clock;
  readonly #passThrough: PassThrough;
  readonly #images: ImageNames;
  /** When what a manifest names was linked last, and the manifest's media type. */
  readonly #linked = new LRUCache<string, { readonly at: number; readonly mediaType: string }>({ max: MAX_LINKED });

  constructor(deps: {
    access: Access;
    tags: Tags;
    asking: OriginAsking;
    refs: Refs;
    downloads: Pick<Downloads, 'open' | 'sizeFor'>;
    clock: Clock;
    images: ImageNames;
    /** Serves what is not to be kept. */
    passThrough: PassThrough;
  }) {
    this.#access = deps.access;
    this.#tags = deps.tags;
    this.#asking = deps.asking;
    this.#refs = deps.refs;
    this.#downloads = deps.downloads;
    this.#clock = deps.clock;
    this.#images = deps.images;
    this.#passThrough = deps.passThrough;
  }

  /** `Range` is ignored: containerd 2.1.0 to 2.1.2 sends `bytes=0-` with every request. */
  async serve(exchange: Exchange, reference: ManifestReference): Promise<void> {
    const { scope, asker } = exchange;
    this.#access.admit(scope, asker);
    const grant = this.#grantNow(scope, reference) ?? (await exchange.unlessOver(this.#grant(exchange, reference)));
    if (grant === NOT_KEPT) {
      const name = 'tag' in reference ? reference.tag : reference.digest;
      await this.#passThrough.serve(exchange, `manifests/${name}`, '');
      return;
    }
    if (noneMatch(exchange.header('if-none-match'), grant.digest)) {
      exchange.head(304, headersOf(grant));
      exchange.response.end();
      return;
    }
    const size = this.#downloads.sizeFor(grant.digest, originName(scope)) ?? grant.size;
    if (exchange.isHead && size !== undefined && grant.mediaType !== undefined) {
      exchange.head(200, { ...headersOf(grant), 'Content-Type': grant.mediaType, 'Content-Length': size });
      exchange.response.end();
      return;
    }
    this.#answer(exchange, grant, await this.#read(exchange, grant));
  }

  /** Reads a manifest for the node itself, which asks as its configuration says; `isStale`: its registry could not be asked. */
  async read(
    asker: Asker,
    reference: ManifestReference,
  ): Promise<{ digest: Digest; bytes: Buffer; mediaType: string; isStale: boolean } | typeof NOT_KEPT> {
    const { scope, signal } = asker;
    const grant =
      this.#grantNow(scope, reference) ?? (await unlessAborted(this.#grantFor(scope, reference, 'any'), signal));
    if (grant === NOT_KEPT) return NOT_KEPT;
    const { bytes, mediaType } = await this.#read(asker, grant);
    return { digest: grant.digest, bytes, mediaType, isStale: grant.warning !== undefined };
  }

  async #grant(exchange: Exchange, reference: ManifestReference): Promise<TagGrant | typeof NOT_KEPT> {
    return this.#grantFor(exchange.scope, reference, acceptClass(exchange.header('accept')));
  }

  async #grantFor(scope: Scope, reference: ManifestReference, variant: Variant): Promise<TagGrant | typeof NOT_KEPT> {
    if ('tag' in reference) return this.#tags.resolve(scope, reference.tag, variant);
    return tagGrantOf(await this.#access.toDigest(scope, reference.digest, 'manifest'));
  }

  #grantNow(scope: Scope, reference: ManifestReference): TagGrant | typeof NOT_KEPT | undefined {
    const grant = 'tag' in reference ? undefined : this.#access.toDigestNow(scope, reference.digest, 'manifest');
    return grant && tagGrantOf(grant);
  }

  #answer(exchange: Exchange, grant: Grant, { bytes, mediaType, source }: Manifest): void {
    exchange.head(200, {
      ...headersOf(grant),
      'Content-Type': mediaType,
      'Content-Length': bytes.length,
      'X-Hawker-Source': source,
    });
    if (exchange.isHead) {
      exchange.response.end();
      return;
    }
    exchange.firstByte(source);
    exchange.response.end(bytes, () => exchange.sent(source, bytes.length));
  }

  async #read(asker: Asker, grant: TagGrant): Promise<Manifest> {
    const { scope, signal } = asker;
    const { upstream, repository } = scope;
    const origin = grant.bytes
      ? sourceOf(grant.bytes, originName(scope), !upstream.usesCredentials)
      : originSource(upstream.manifest(repository, grant.digest), !upstream.usesCredentials);
    // It is small, and its digest says whether it is the right one.
    const prove = async (): Promise<void> => {
      const ask = (late: AbortSignal) =>
        upstream.getManifest(repository, { digest: grant.digest }, MANIFEST_ACCEPT, late);
      if (!grant.bytes) await this.#asking.ask(upstream, false, ask);
    };
    // What a HEAD says of its size is not relied on: some registries compress the one and not the other.
    const wanted = { digest: grant.digest, origin, size: undefined, isSmall: true, confirm: grant.confirm, prove };
    const blob = await this.#open(asker, { ...wanted, isPrivate: upstream.usesCredentials });
    try {
      const bytes = await unlessAborted(readWhole(blob), signal);
      const source = blob.sourceAt(0);
      const linked = this.#linkedLately(scope, grant.digest);
      if (linked) return { bytes, mediaType: linked.mediaType, source };
      const { mediaType, children } = parseManifest(bytes, grant.mediaType ?? blob.mediaType ?? '');
      const manifest = { bytes, mediaType, source };
      if (grant.warning === undefined) await this.#link(scope, grant.digest, manifest, children);
      return manifest;
    } finally {
      blob.close();
    }
  }

  async #open({ scope, signal }: Asker, wanted: DownloadRequest): Promise<OpenBlob> {
    try {
      return await this.#downloads.open(wanted, undefined, signal);
    } catch (error) {
      await this.#access.denied(scope, wanted.digest, error);
      throw error;
    }
  }

  async #link(scope: Scope, digest: Digest, manifest: Manifest, children: readonly ManifestChild[]): Promise<void> {
    // What has urls of its own is fetched from these, by the client (a registry seldom has it).
    const own = children.filter((child) => !child.foreign);
    for (const child of own) this.#images.note(child.digest, digest);
    const repo = repoKey(scope);
    const itself = { digest, mediaType: manifest.mediaType, size: manifest.bytes.length, confirmed: true };
    const links = [this.#access.newLink(scope, itself)];
    for (const { digest, mediaType, size } of own) {
      // What the registry has confirmed stays so; a manifest's word adds nothing to it.
      if ((await this.#refs.linkOf(repo, digest))?.confirmed) continue;
      links.push(this.#access.newLink(scope, { digest, mediaType, size, confirmed: false }));
    }
    await this.#access.link(scope, links);
    this.#linked.set(linkKey(scope, digest), { at: this.#clock.monotonic(), mediaType: manifest.mediaType });
  }

  #linkedLately(scope: Scope, digest: Digest): { readonly mediaType: string } | undefined {
    const last = this.#linked.get(linkKey(scope, digest));
    return last && this.#clock.monotonic() - last.at < LINK_AGAIN_MS ? last : undefined;
  }
}

function linkKey({ upstream, repository }: Scope, digest: Digest): string {
  return `${upstream.host}/${repository} ${digest}`;
}

function tagGrantOf(grant: Grant): TagGrant | typeof NOT_KEPT {
  if (grant.mediaType !== undefined && !isManifestType(grant.mediaType)) return NOT_KEPT;
  return { ...grant, bytes: undefined };
}

function headersOf({ digest, warning }: Grant): Record<string, string> {
  return {
    'Docker-Content-Digest': digest,
    ETag: etagOf(digest),
    ...(warning === undefined ? {} : { Warning: warning }),
  };
}

async function readWhole(blob: OpenBlob): Promise<Buffer> {
  if (blob.size > MANIFEST_MAX_BYTES) throw new ManifestTooLarge({ size: blob.size, most: MANIFEST_MAX_BYTES });
  const bytes = Buffer.allocUnsafe(blob.size);
  for (let position = 0; position < bytes.length;) {
    const part = bytes.subarray(position, await blob.ready(position));
    position += blob.readNow?.(part, position) || (await blob.read(part, position));
  }
  return bytes;
}

/** Bytes that have been read from an origin already, as a source. */
function sourceOf(bytes: Buffer, name: string, isOpen: boolean): PieceSource {
  return {
    kind: 'origin',
    name,
    isOpen,
    async read({ start, end }, sink) {
      sink.head({ total: bytes.length, ranges: true });
      if (!sink.write(bytes.subarray(start, end))) await sink.drained();
    },
  };
}
