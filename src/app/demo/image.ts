import { randomBytes } from 'node:crypto';
import { digestOf, type Digest } from '../../base/digest.ts';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const TAR_BLOCK = 512;

export interface DemoBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly mediaType: string;
}

/** A real OCI image that any client can pull: each layer is a tar of one file of random bytes, which does not compress. */
export interface DemoImage {
  readonly manifest: DemoBlob;
  /** The configuration, then the layers. */
  readonly blobs: readonly DemoBlob[];
  /** Bytes of all of it. */
  readonly size: number;
}

/** Makes an image with layers of about the given sizes in bytes. */
export function makeDemoImage(layerSizes: readonly number[]): DemoImage {
  const layers = layerSizes.map((size, index) =>
    blobOf(tarOf(`layer-${index + 1}.bin`, randomBytes(size)), LAYER_TYPE),
  );
  const config = blobOf(
    jsonOf({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.digest) },
    }),
    CONFIG_TYPE,
  );
  const manifest = blobOf(
    jsonOf({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptorOf(config),
      layers: layers.map(descriptorOf),
    }),
    MANIFEST_TYPE,
  );
  const blobs = [config, ...layers];
  const size = [manifest, ...blobs].reduce((sum, blob) => sum + blob.bytes.length, 0);
  return { manifest, blobs, size };
}

function blobOf(bytes: Buffer, mediaType: string): DemoBlob {
  return { digest: digestOf(bytes), bytes, mediaType };
}

function descriptorOf({ digest, bytes, mediaType }: DemoBlob): object {
  return { mediaType, digest, size: bytes.length };
}

function jsonOf(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** A tar archive (POSIX ustar) with one file. */
function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`;
  header.write(name, 0);
  header.write(octal(0o644, 8) + octal(0, 8) + octal(0, 8) + octal(content.length, 12) + octal(0, 12), 100, 'latin1');
  header.write('        0', 148, 'latin1');
  header.write('ustar\u000000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  const padding = Buffer.alloc(-content.length & (TAR_BLOCK - 1));
  return Buffer.concat([header, content, padding, Buffer.alloc(2 * TAR_BLOCK)]);
}
