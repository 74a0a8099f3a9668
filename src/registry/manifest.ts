import { parseDigest, type Digest } from '../base/digest.ts';
import { isIndexType, isManifestType } from './media-types.ts';
import { platformIn, type Platform } from './platform.ts';

/** dist-spec, "Pushing Manifests": registries take at least 4 MiB, and containerd reads no more. In bytes. */
export const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;

/** What a manifest names. */
export interface ManifestChild {
  readonly digest: Digest;
  /** In bytes, as the manifest says. */
  readonly size: number;
  readonly mediaType: string;
  readonly kind: 'manifest' | 'blob';
  /** It may be found elsewhere only (`urls`, non-distributable layers): the registry often has none. */
  readonly foreign: boolean;
  /** What it is for, where an index says. */
  readonly platform?: Platform;
}

export interface Manifest {
  readonly mediaType: string;
  readonly children: readonly ManifestChild[];
  /** The manifest that this one is about (OCI 1.1 referrers). */
  readonly subject?: Digest;
}

const FOREIGN = /\.foreign\.|\.nondistributable\./;

/**
 * Reads what a manifest names. Tolerant: what is not understood has no children, for registries hold more kinds of manifest
 * than this program needs to know. `mediaType` is the `Content-Type` that came with it; the manifest's own word counts for
 * more where that is no manifest type (registry.access.redhat.com says `text/plain`).
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): Manifest {
  const json = parseObject(bytes);
  const own = typeof json['mediaType'] === 'string' ? json['mediaType'] : undefined;
  const type = isManifestType(mediaType) ? mediaType : (own ?? mediaType);
  const subject = isObject(json['subject']) ? digestOfDescriptor(json['subject']) : undefined;
  return { mediaType: type, children: childrenOf(json, type), ...(subject ? { subject } : {}) };
}

function childrenOf(json: Record<string, unknown>, mediaType: string): ManifestChild[] {
  const manifests = descriptors(json['manifests'], 'manifest');
  if (isIndexType(mediaType)) return manifests;
  const blobs = [json['config'], ...asArray(json['layers']), ...asArray(json['blobs'])];
  return [...manifests, ...descriptors(blobs, 'blob')];
}

function descriptors(value: unknown, kind: 'manifest' | 'blob'): ManifestChild[] {
  return asArray(value).flatMap((entry): ManifestChild[] => {
    if (!isObject(entry)) return [];
    const digest = digestOfDescriptor(entry);
    const { size, mediaType, urls } = entry;
    if (!digest || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return [];
    const type = typeof mediaType === 'string' ? mediaType : '';
    const platform = platformIn(entry['platform']);
    const foreign = FOREIGN.test(type) || asArray(urls).length > 0;
    return [{ digest, size, mediaType: type, kind, foreign, ...(platform && { platform }) }];
  });
}

function digestOfDescriptor(descriptor: Record<string, unknown>): Digest | undefined {
  return typeof descriptor['digest'] === 'string' ? parseDigest(descriptor['digest']) : undefined;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString());
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asArray(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
