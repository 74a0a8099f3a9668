import { createCipheriv, createHash } from 'node:crypto';
import { KiB, MiB } from '../../src/base/units.ts';
import { Chance } from './chance.ts';

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';
const REPOSITORIES = ['soak/app', 'soak/base', 'soak/tool'];
/** Layers that an image may share with those before it, counted back from its own. */
const SHARED_BACK = 12;
const AES_BLOCK = 16;
const ZEROS = Buffer.alloc(MiB);

/** A blob whose bytes are made when they are needed: the key stream of a cipher, so that any part of it costs no more than its length. */
export class Content {
  readonly size: number;
  readonly digest: string;
  /** The origin may send other bytes than these. */
  readonly isLiedAbout: boolean;
  readonly #key: Buffer;

  constructor(name: string, size: number, isLiedAbout: boolean) {
    this.size = size;
    this.isLiedAbout = isLiedAbout;
    this.#key = createHash('sha256').update(name).digest().subarray(0, AES_BLOCK);
    const hash = createHash('sha256');
    for (const part of this.parts(0, size)) hash.update(part);
    this.digest = `sha256:${hash.digest('hex')}`;
  }

  /** The bytes in `[start, end)`, a MiB at a time. */
  *parts(start: number, end: number): Generator<Buffer> {
    const counter = Buffer.alloc(AES_BLOCK);
    counter.writeUInt32BE(Math.floor(start / AES_BLOCK), AES_BLOCK - 4);
    const cipher = createCipheriv('aes-128-ctr', this.#key, counter);
    cipher.update(ZEROS.subarray(0, start % AES_BLOCK));
    for (let at = start; at < end; at += MiB) yield cipher.update(ZEROS.subarray(0, Math.min(MiB, end - at)));
  }
}

/** A blob of an image as a client sees it. */
export interface Layer {
  readonly digest: string;
  readonly size: number;
  readonly content: Content;
}

export interface Image {
  readonly number: number;
  readonly repository: string;
  readonly tag: string;
  readonly manifest: Buffer;
  readonly manifestDigest: string;
  readonly mediaType: string;
  readonly layers: readonly Layer[];
}

/** Random images, the same for the same seed: the first two or so layers of many are those of earlier ones. */
export class Images {
  readonly #seed: string;
  readonly #images: Image[] = [];
  readonly #contents: Content[] = [];
  readonly #byDigest = new Map<string, Content>();
  readonly #byReference = new Map<string, Image>();

  constructor(seed: string) {
    this.#seed = seed;
  }

  get count(): number {
    return this.#images.length;
  }

  at(number: number): Image {
    return this.#images[number]!;
  }

  /** The blob of that digest. */
  content(digest: string): Content | undefined {
    return this.#byDigest.get(digest);
  }

  /** By repository, and tag or digest. */
  find(repository: string, reference: string): Image | undefined {
    return this.#byReference.get(`${repository} ${reference}`);
  }

  /** Makes the next image. */
  add(): Image {
    const number = this.#images.length;
    const chance = new Chance(this.#seed, 'image', number);
    const contents = new Set<Content>();
    for (let n = chance.whole(0, 3); n > 0 && this.#contents.length > 0; n -= 1) {
      const from = Math.max(0, this.#contents.length - SHARED_BACK);
      contents.add(this.#contents[chance.whole(from, this.#contents.length)]!);
    }
    for (let n = chance.whole(1, 4); n > 0; n -= 1) contents.add(this.#layer(chance));
    const config = this.#content(`config ${number}`, chance.whole(200, 4 * KiB), false);
    const layers = [config, ...contents].map((content) => ({ digest: content.digest, size: content.size, content }));
    const descriptors = layers.map(({ digest, size }, i) => {
      return { mediaType: i === 0 ? CONFIG_TYPE : LAYER_TYPE, digest, size };
    });
    const [first, ...others] = descriptors;
    const text = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: first, layers: others };
    const manifest = Buffer.from(JSON.stringify(text));
    const manifestDigest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`;
    const repository = REPOSITORIES[number % REPOSITORIES.length]!;
    const tag = `v${number}`;
    const image = { number, repository, tag, manifest, manifestDigest, mediaType: MANIFEST_TYPE, layers };
    this.#images.push(image);
    this.#byReference.set(`${repository} ${tag}`, image);
    this.#byReference.set(`${repository} ${manifestDigest}`, image);
    return image;
  }

  #layer(chance: Chance): Content {
    const kind = chance.weighted({ tiny: 2, small: 3, middle: 4, large: 2 });
    const size = {
      tiny: () => chance.whole(1, 64 * KiB),
      small: () => chance.whole(64 * KiB, MiB + 1),
      middle: () => chance.whole(MiB, 6 * MiB),
      large: () => chance.whole(6 * MiB, 24 * MiB),
    }[kind]();
    const content = this.#content(`layer ${this.#contents.length}`, size, kind !== 'tiny' && chance.hits(0.08));
    this.#contents.push(content);
    return content;
  }

  #content(name: string, size: number, isLiedAbout: boolean): Content {
    const content = new Content(`${this.#seed}/${name}`, size, isLiedAbout);
    this.#byDigest.set(content.digest, content);
    return content;
  }
}
