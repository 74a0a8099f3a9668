import type { Hash } from 'node:crypto';
import { Pool } from 'undici';
import { backoffMs, type Backoff } from '../base/backoff.ts';
import { systemClock } from '../base/clock.ts';
import { digestAlgorithm, digestFrom, digestOf, hasherFor, parseDigest, type Digest } from '../base/digest.ts';
import { codeOf, describeError } from '../base/errors.ts';
import { MANIFEST_MAX_BYTES, parseManifest } from '../registry/manifest.ts';
import { isIndexType, MANIFEST_ACCEPT } from '../registry/media-types.ts';
import type { Reference } from '../registry/reference.ts';
import { NoSuchPlatform, PullFailed, ServiceUnreachable } from './errors.ts';

/** Blobs at the same time: as containerd. */
const PARALLEL_BLOBS = 3;
/** An index of indexes, and no deeper. */
const MAX_DEPTH = 3;
/** More than any image has. */
const MAX_BLOBS = 10_000;
/** Tries of a blob without a byte between them. */
const MAX_TRIES = 5;
const RETRY: Backoff = { firstMs: 200, capMs: 3000 };
/** The mirror answers, or sends on to the registry, within 25 s. */
const ANSWER_MS = 60_000;
const STALL_MS = 120_000;

export type PullSource = 'store' | 'peers' | 'origin' | 'mixed';

/** One blob of the image. Bytes. */
export interface PulledBlob {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  received: number;
  /** As the mirror said (X-Hawker-Source); undefined until then. */
  source: PullSource | undefined;
  ms: number;
}

export interface PulledManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** `linux/arm64/v8`; undefined: no index says. */
  readonly platform: string | undefined;
}

export interface Pulled {
  readonly digest: Digest;
  readonly manifests: readonly PulledManifest[];
  readonly blobs: readonly PulledBlob[];
}

export interface PullOptions {
  /** The mirror. */
  readonly mirror: string;
  readonly reference: Reference;
  /** As it was given. */
  readonly image: string;
  /** `os/arch` or `os/arch/variant`; undefined: all of an index. */
  readonly platform: string | undefined;
  readonly signal: AbortSignal;
}

interface Fetched {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** Pulls one image through the node's proxy, which keeps it: every byte is read here, checked against its digest, and let go. */
export class ImagePull {
  /** Blobs that are known so far, in the order of the manifests. */
  readonly blobs: PulledBlob[] = [];
  readonly #options: PullOptions;
  readonly #pool: Pool;
  readonly #manifests: PulledManifest[] = [];
  readonly #seen = new Set<Digest>();

  constructor(options: PullOptions) {
    this.#options = options;
    this.#pool = new Pool(options.mirror, {
      connections: PARALLEL_BLOBS,
      headersTimeout: ANSWER_MS,
      bodyTimeout: STALL_MS,
    });
  }

  /** Rejects with SERVICE_UNREACHABLE, PULL_FAILED, NO_SUCH_PLATFORM, or the signal's reason. */
  async pull(): Promise<Pulled> {
    const { reference, signal } = this.#options;
    try {
      const top = await this.#manifest(reference.digest ?? reference.tag!, reference.digest);
      await this.#takeManifest(top, undefined, 1);
      await this.#fetchBlobs();
      return { digest: top.digest, manifests: this.#manifests, blobs: this.blobs };
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    } finally {
      await this.#pool.destroy();
    }
  }

  async #takeManifest(
    { digest, mediaType, bytes }: Fetched,
    platform: string | undefined,
    depth: number,
  ): Promise<void> {
    if (this.#seen.has(digest)) return;
    this.#seen.add(digest);
    this.#manifests.push({ digest, mediaType, size: bytes.length, platform });
    if (isIndexType(mediaType)) {
      if (depth > MAX_DEPTH)
        throw this.#failed(`manifest ${digest}`, `indexes of indexes, more than ${MAX_DEPTH} deep`);
      for (const child of this.#chosen(bytes)) {
        await this.#takeManifest(await this.#manifest(child.digest, child.digest), child.platform, depth + 1);
      }
      return;
    }
    for (const child of parseManifest(bytes, mediaType).children) {
      // Of these the registry often has none: clients get them elsewhere.
      if (child.kind !== 'blob' || child.foreign || this.#seen.has(child.digest)) continue;
      this.#seen.add(child.digest);
      if (this.blobs.length >= MAX_BLOBS) throw this.#failed(`manifest ${digest}`, `more than ${MAX_BLOBS} blobs`);
      const { size } = child;
      this.blobs.push({
        digest: child.digest,
        mediaType: child.mediaType,
        size,
        received: 0,
        source: undefined,
        ms: 0,
      });
    }
  }

  /** The manifests of an index that are wanted. */
  #chosen(bytes: Buffer): { digest: Digest; platform: string }[] {
    const { platform, image } = this.#options;
    const all = platformsIn(bytes);
    if (platform === undefined) return all;
    const exact = all.find((one) => one.platform === platform);
    // `linux/arm64` is `linux/arm64/v8` where only that is there, as with docker.
    const near = all.find((one) => one.platform.startsWith(`${platform}/`));
    const found = exact ?? near;
    if (found) return [found];
    const there = all.map((one) => one.platform).filter((one) => one !== 'unknown/unknown');
    throw new NoSuchPlatform({ image, platform, there: there.join(', ') || 'none' });
  }

  async #manifest(tagOrDigest: string, expected: Digest | undefined): Promise<Fetched> {
    const what = `manifest ${tagOrDigest} of ${this.#options.image}`;
    const { headers, body } = await this.#ask(what, `manifests/${tagOrDigest}`, { accept: MANIFEST_ACCEPT });
    const chunks: Buffer[] = [];
    let length = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        length += chunk.length;
        if (length > MANIFEST_MAX_BYTES) throw new Error(`it has more than ${MANIFEST_MAX_BYTES} bytes`);
      }
    } catch (error) {
      throw this.#failed(what, describeError(error), error);
    }
    const bytes = Buffer.concat(chunks);
    const said = expected ?? parseDigest(String(headers['docker-content-digest'] ?? ''));
    const digest = digestOf(bytes, said && digestAlgorithm(said));
    if (said !== undefined && said !== digest)
      throw this.#failed(what, `its bytes have the digest ${digest}, not ${said}`);
    const { mediaType } = parseManifest(bytes, String(headers['content-type'] ?? '').split(';', 1)[0]!);
    return { digest, mediaType, bytes };
  }

  async #fetchBlobs(): Promise<void> {
    const waiting = this.blobs.values();
    const stop = new AbortController();
    const work = async (): Promise<void> => {
      for (const blob of waiting) await this.#fetchBlob(blob, stop.signal);
    };
    const works = Array.from({ length: PARALLEL_BLOBS }, work);
    try {
      await Promise.all(works);
    } catch (error) {
      stop.abort();
      await Promise.allSettled(works);
      throw error;
    }
  }

  /** To its end, which is taken up again where it breaks off. */
  async #fetchBlob(blob: PulledBlob, stop: AbortSignal): Promise<void> {
    const { signal } = this.#options;
    const startedAt = performance.now();
    const what = `blob ${blob.digest} of ${this.#options.image}`;
    const hash = hasherFor(blob.digest);
    for (let tries = 0; ; tries += 1) {
      const before = blob.received;
      try {
        await this.#readOn(what, blob, hash, AbortSignal.any([signal, stop]));
        break;
      } catch (error) {
        if (signal.aborted || stop.aborted) throw error;
        if (blob.received > before) tries = 0;
        if (tries + 1 >= MAX_TRIES || (error instanceof PullFailed && blob.received === 0)) throw error;
        await systemClock.sleep(backoffMs(RETRY, tries), signal);
      }
    }
    const actual = digestFrom(digestAlgorithm(blob.digest), hash);
    if (actual !== blob.digest) throw this.#failed(what, `its bytes have the digest ${actual}`);
    blob.ms = Math.round(performance.now() - startedAt);
  }

  async #readOn(what: string, blob: PulledBlob, hash: Hash, signal: AbortSignal): Promise<void> {
    const from = blob.received;
    const range = from > 0 ? { range: `bytes=${from}-` } : undefined;
    const { statusCode, headers, body } = await this.#ask(what, `blobs/${blob.digest}`, range, signal);
    if (from > 0 && statusCode !== 206) throw new Error('the rest of it was asked for, and something else came');
    blob.source ??= sourceIn(headers['x-hawker-source']);
    for await (const chunk of body as AsyncIterable<Buffer>) {
      hash.update(chunk);
      blob.received += chunk.length;
    }
  }

  async #ask(
    what: string,
    path: string,
    headers: Record<string, string> = {},
    signal = this.#options.signal,
  ): ReturnType<Pool['request']> {
    const { mirror, reference } = this.#options;
    const { repository, host } = reference;
    let answer: Awaited<ReturnType<Pool['request']>>;
    try {
      const full = `/v2/${repository}/${path}?ns=${encodeURIComponent(host)}`;
      answer = await this.#pool.request({ method: 'GET', path: full, headers, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      throw new ServiceUnreachable({ url: mirror, what: 'proxy', setting: 'proxy.listen', why: describeError(error) });
    }
    const { statusCode, body } = answer;
    if (statusCode === 200 || statusCode === 206) return answer;
    throw this.#failed(what, saidIn(await body.text().catch(() => ''), statusCode));
  }

  #failed(what: string, why: string, cause?: unknown): Error {
    return new PullFailed({ what, why }, { cause });
  }
}

/** What an OCI error says, the detail of Hawker's first. */
function saidIn(text: string, status: number): string {
  try {
    const { errors } = JSON.parse(text) as {
      errors?: { message?: string; detail?: { code?: string; message?: string } }[];
    };
    const { message, detail } = errors?.[0] ?? {};
    const code = codeOf(detail);
    const words = detail?.message ?? message;
    if (words !== undefined) return `${code === 'UNKNOWN' ? '' : `${code}: `}${words}`.slice(0, 500);
  } catch {
    // No JSON: its status says enough.
  }
  return `status ${status}`;
}

function sourceIn(header: string | string[] | undefined): PullSource {
  return header === 'store' || header === 'peers' || header === 'mixed' ? header : 'origin';
}

function platformsIn(bytes: Buffer): { digest: Digest; platform: string }[] {
  const { manifests } = JSON.parse(bytes.toString()) as { manifests?: unknown };
  return (Array.isArray(manifests) ? (manifests as Record<string, unknown>[]) : []).flatMap((entry) => {
    const digest = typeof entry?.['digest'] === 'string' ? parseDigest(entry['digest']) : undefined;
    const { os, architecture, variant } = (entry?.['platform'] ?? {}) as Record<string, string | undefined>;
    const platform = [os ?? 'unknown', architecture ?? 'unknown', ...(variant ? [variant] : [])].join('/');
    return digest ? [{ digest, platform }] : [];
  });
}
