import { createCipheriv } from 'node:crypto';
import { digestOf, type Digest } from '../../src/base/digest.ts';

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

export interface TestBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
}

/** An OCI image for linux/amd64 (all layers) and linux/arm64 (the first of them, and a small one of its own). */
export interface TestImage {
  readonly index: TestBlob;
  /** One for each platform: amd64, arm64. */
  readonly manifests: readonly TestBlob[];
  /** The layers of linux/amd64, in order. */
  readonly layers: readonly TestBlob[];
  /** Layers and configs of both. */
  readonly blobs: readonly TestBlob[];
}

/** `size` bytes that do not compress and are the same for the same seed. */
export function randomBytes(seed: number | string, size: number): Buffer {
  const key = Buffer.alloc(16);
  key.write(String(seed).slice(0, 16));
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

export function testBlob(bytes: Buffer, mediaType = 'application/octet-stream'): TestBlob {
  return { digest: digestOf(bytes), bytes, mediaType };
}

/** An image whose layers have the given sizes in bytes; the layers are noise, not archives. */
export function makeImage(options: { seed: number; layers: readonly number[] }): TestImage {
  const layer = (name: string, size: number) => testBlob(randomBytes(`${options.seed}/${name}`, size), OCI_LAYER);
  const layers = options.layers.map((size, i) => layer(`l${i}`, size));
  const arm = [...layers.slice(0, 1), layer('arm', 1000)];
  const amd64 = imageOf('amd64', layers, options.seed);
  const arm64 = imageOf('arm64', arm, options.seed);
  const index = testBlob(
    json({
      schemaVersion: 2,
      mediaType: OCI_INDEX,
      manifests: [
        { ...descriptor(amd64.manifest), platform: { os: 'linux', architecture: 'amd64' } },
        { ...descriptor(arm64.manifest), platform: { os: 'linux', architecture: 'arm64' } },
      ],
    }),
    OCI_INDEX,
  );
  const blobs = new Map([amd64.config, arm64.config, ...layers, ...arm].map((blob) => [blob.digest, blob]));
  return { index, manifests: [amd64.manifest, arm64.manifest], layers, blobs: [...blobs.values()] };
}

function imageOf(architecture: string, layers: readonly TestBlob[], seed: number) {
  const config = testBlob(
    json({
      os: 'linux',
      architecture,
      config: { Labels: { seed: String(seed) } },
      rootfs: { type: 'layers', diff_ids: layers.map((l) => l.digest) },
    }),
    OCI_CONFIG,
  );
  const manifest = testBlob(
    json({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: descriptor(config),
      layers: layers.map(descriptor),
    }),
    OCI_MANIFEST,
  );
  return { config, manifest };
}

function descriptor({ mediaType, digest, bytes }: TestBlob) {
  return { mediaType, digest, size: bytes.length };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
