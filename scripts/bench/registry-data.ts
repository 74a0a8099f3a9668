import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MiB } from '../../src/base/units.ts';

export const REPOSITORY = 'library/app';
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const WRITE_BYTES = 4 * MiB;

export interface Blob {
  readonly digest: string;
  readonly size: number;
}

export const blobPath = (digest: string) => `/v2/${REPOSITORY}/blobs/${digest}`;
export const manifestPath = (reference: string) => `/v2/${REPOSITORY}/manifests/${reference}`;

/**
 * The data of a docker-registry, written as it keeps it (distribution's filesystem driver, layout v2), without the copies that an
 * upload takes.
 */
export class RegistryData {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** A layer of bytes that are in no other. */
  async addBlob(size: number): Promise<Blob> {
    const path = join(this.dir, 'incoming');
    await mkdir(this.dir, { recursive: true });
    const digest = await writeUnique(path, size);
    await this.#keep(digest, path);
    return { digest, size };
  }

  /** A layer of `size` zeros, which take no room on the disk. */
  async addZeros(size: number): Promise<Blob> {
    const path = join(this.dir, 'incoming');
    await mkdir(this.dir, { recursive: true });
    const file = await open(path, 'w');
    await file.truncate(size);
    await file.close();
    const digest = digestOfZeros(size);
    await this.#keep(digest, path);
    return { digest, size };
  }

  /** A manifest of those layers, under a tag too; its digest. */
  async addImage(tag: string, layers: readonly Blob[]): Promise<string> {
    const config = {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: layers.map((l) => l.digest) },
    };
    const configBlob = await this.#addText(JSON.stringify(config));
    const manifest = await this.#addText(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST_TYPE,
        config: { mediaType: CONFIG_TYPE, ...configBlob },
        layers: layers.map((layer) => ({ mediaType: LAYER_TYPE, ...layer })),
      }),
    );
    const manifests = join(this.#repository, '_manifests');
    const hex = manifest.digest.slice('sha256:'.length);
    await put(join(manifests, 'revisions/sha256', hex, 'link'), manifest.digest);
    await put(join(manifests, 'tags', tag, 'current/link'), manifest.digest);
    await put(join(manifests, 'tags', tag, 'index/sha256', hex, 'link'), manifest.digest);
    return manifest.digest;
  }

  /** The file of a blob's bytes. */
  fileOf(digest: string): string {
    const hex = digest.slice('sha256:'.length);
    return join(this.dir, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  get #repository(): string {
    return join(this.dir, 'docker/registry/v2/repositories', REPOSITORY);
  }

  async #addText(text: string): Promise<Blob> {
    const path = join(this.dir, 'incoming');
    await mkdir(this.dir, { recursive: true });
    await writeFile(path, text);
    const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
    await this.#keep(digest, path);
    return { digest, size: Buffer.byteLength(text) };
  }

  async #keep(digest: string, path: string): Promise<void> {
    const file = this.fileOf(digest);
    await mkdir(dirname(file), { recursive: true });
    await rename(path, file);
    await put(join(this.#repository, '_layers/sha256', digest.slice('sha256:'.length), 'link'), digest);
  }
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}

/** Random bytes, again and again with another number in them: nothing here could gain by that, and they are written fast. */
async function writeUnique(path: string, size: number): Promise<string> {
  const hash = createHash('sha256');
  const bytes = randomBytes(WRITE_BYTES);
  const file = await open(path, 'w');
  try {
    for (let left = size, block = 0; left > 0; block += 1) {
      bytes.writeUInt32LE(block, 0);
      const part = bytes.subarray(0, Math.min(left, bytes.length));
      hash.update(part);
      await file.writeFile(part);
      left -= part.length;
    }
  } finally {
    await file.close();
  }
  return `sha256:${hash.digest('hex')}`;
}

function digestOfZeros(size: number): string {
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(WRITE_BYTES);
  for (let left = size; left > 0; left -= zeros.length) hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
  return `sha256:${hash.digest('hex')}`;
}
