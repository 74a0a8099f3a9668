import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Descriptor, Origin } from './origin.ts';
import { must } from './programs.ts';
import type { Rig } from './rig.ts';

const MiB = 1024 * 1024;
const TAR_BLOCK_BYTES = 512;

const DOCKER = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};
const OCI = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';

/** An image at the origin, and what of it must arrive at a client. */
export interface Image {
  readonly repository: string;
  readonly tag: string;
  readonly manifest: Descriptor;
  readonly config: string;
  /** Digests of the layers as they travel, and of the tars in them. */
  readonly layers: readonly string[];
  readonly diffIds: readonly string[];
  /** Digest to size in bytes of each of its blobs. */
  readonly blobs: ReadonlyMap<string, number>;
}

/** What a tag names: one image, or an index of one for each platform. */
export interface Published {
  readonly repository: string;
  readonly tag: string;
  /** The index's digest, or the one image's manifest's. */
  readonly digest: string;
  readonly images: readonly Image[];
  /** The image that a client on this machine takes. */
  readonly native: Image;
}

/** This machine's architecture, as Go names it. */
const NATIVE = process.arch === 'x64' ? 'amd64' : process.arch;
const FOREIGN = NATIVE === 'amd64' ? 'arm64' : 'amd64';

/** An image of Docker's media types, with layers from a few bytes to 24 MiB, of random bytes so that they stay that size. */
export async function publishImage(rig: Rig, origin: Origin): Promise<Published> {
  const sizes = [1 * MiB, 5 * MiB, 24 * MiB, 3000, 70_000, 1];
  const image = await buildImage(rig, origin, { repository: 'library/app', tag: 'v1', sizes, types: DOCKER });
  return {
    repository: image.repository,
    tag: image.tag,
    digest: image.manifest.digest,
    images: [image],
    native: image,
  };
}

/** A small image of Docker's media types under any name: one layer of random bytes for each size. */
export function publishNamed(
  rig: Rig,
  origin: Origin,
  name: { readonly repository: string; readonly tag: string; readonly sizes: readonly number[] },
): Promise<Image> {
  return buildImage(rig, origin, { ...name, types: DOCKER });
}

/** An OCI index of two platforms. */
export async function publishIndex(rig: Rig, origin: Origin): Promise<Published> {
  const repository = 'library/multi';
  const spec = { repository, types: OCI };
  const native = await buildImage(rig, origin, { ...spec, tag: NATIVE, sizes: [2 * MiB, 900], architecture: NATIVE });
  const foreign = await buildImage(rig, origin, { ...spec, tag: FOREIGN, sizes: [3 * MiB], architecture: FOREIGN });
  const manifests = [foreign, native].map(({ manifest: { mediaType, digest, size }, tag: architecture }) => {
    return { mediaType, digest, size, platform: { architecture, os: 'linux' } };
  });
  const { digest } = await origin.pushManifest(repository, 'v1', { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
  return { repository, tag: 'v1', digest, images: [native, foreign], native };
}

/** An image with one layer, a tar that is not compressed, of about `bytes`. */
export async function publishLarge(rig: Rig, origin: Origin, repository: string, bytes: number): Promise<Published> {
  const tar = join(rig.dir, 'large.tar');
  await writeLargeTar(tar, bytes);
  const layer = await origin.pushBlob(repository, tar);
  await rm(tar);
  const config = JSON.stringify({
    architecture: NATIVE,
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [layer] },
    history: [{ created_by: 'hawker e2e' }],
  });
  const configFile = join(rig.dir, 'large.json');
  await writeFile(configFile, config);
  const configDigest = await origin.pushBlob(repository, configFile);
  const tarBytes = paddedTar(bytes);
  const manifest = await origin.pushManifest(repository, 'v1', {
    schemaVersion: 2,
    mediaType: OCI.manifest,
    config: { mediaType: OCI.config, digest: configDigest, size: config.length },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: layer, size: tarBytes }],
  });
  const blobs = new Map([
    [configDigest, config.length],
    [layer, tarBytes],
  ]);
  const image = { repository, tag: 'v1', manifest, config: configDigest, layers: [layer], diffIds: [layer], blobs };
  return { repository, tag: 'v1', digest: manifest.digest, images: [image], native: image };
}

interface ImageSpec {
  readonly repository: string;
  readonly tag: string;
  readonly sizes: readonly number[];
  readonly types: typeof OCI;
  readonly architecture?: string;
}

/** Builds an image with umoci, and pushes it blob by blob. */
async function buildImage(rig: Rig, origin: Origin, spec: ImageSpec): Promise<Image> {
  const { repository, tag, sizes, types, architecture = NATIVE } = spec;
  const work = await rig.folder(`build-${tag}`);
  const layout = join(work, 'layout');
  await must('umoci', ['init', '--layout', layout]);
  await must('umoci', ['new', '--image', `${layout}:${tag}`]);
  await must('umoci', ['config', '--image', `${layout}:${tag}`, '--architecture', architecture, '--os', 'linux']);
  for (const [index, size] of sizes.entries()) {
    const tar = await writeLayer(work, `file-${index}`, size);
    await must('umoci', ['raw', 'add-layer', '--image', `${layout}:${tag}`, tar]);
  }
  const index = await readJson<{ manifests: Descriptor[] }>(join(layout, 'index.json'));
  const built = await readJson<{ config: Descriptor; layers: Descriptor[] }>(blobFile(layout, index.manifests[0]!));
  const { rootfs } = await readJson<{ rootfs: { diff_ids: string[] } }>(blobFile(layout, built.config));
  const blobs = new Map([built.config, ...built.layers].map(({ digest, size }) => [digest, size]));
  for (const blob of [built.config, ...built.layers]) await origin.pushBlob(repository, blobFile(layout, blob));
  const manifest = await origin.pushManifest(repository, tag, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: { ...built.config, mediaType: types.config },
    layers: built.layers.map(({ digest, size }) => ({ mediaType: types.layer, digest, size })),
  });
  await rm(work, { recursive: true });
  const layers = built.layers.map(({ digest }) => digest);
  return { repository, tag, manifest, config: built.config.digest, layers, diffIds: rootfs.diff_ids, blobs };
}

async function writeLayer(work: string, name: string, size: number): Promise<string> {
  const root = join(work, name);
  await mkdir(root);
  await writeFile(join(root, name), randomBytes(size));
  await must('tar', ['--create', '--file', `${root}.tar`, '--directory', root, name]);
  return `${root}.tar`;
}

const paddedTar = (bytes: number) =>
  TAR_BLOCK_BYTES + Math.ceil(bytes / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES + 2 * TAR_BLOCK_BYTES;

/** A tar of one file of random bytes, written as it is made (POSIX.1-1988 ustar: a header block, the data, two zero blocks). */
async function writeLargeTar(file: string, bytes: number): Promise<void> {
  const header = Buffer.alloc(TAR_BLOCK_BYTES);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`;
  header.write('large', 0);
  header.write(octal(0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(bytes, 12), 124);
  header.write(octal(0, 12), 136);
  header.write('        0', 148);
  header.write('ustar\x0000', 257);
  header.write(
    octal(
      header.reduce((sum, byte) => sum + byte, 0),
      7,
    ),
    148,
  );
  const handle = await open(file, 'w');
  try {
    await handle.write(header);
    for (let left = bytes; left > 0; left -= 8 * MiB) await handle.write(randomBytes(Math.min(left, 8 * MiB)));
    await handle.truncate(paddedTar(bytes));
  } finally {
    await handle.close();
  }
}

const blobFile = (layout: string, { digest }: Descriptor) => join(layout, 'blobs', ...digest.split(':'));

async function readJson<T>(file: string): Promise<T> {
  return JSON.parse(await readFile(file, 'utf8')) as T;
}
