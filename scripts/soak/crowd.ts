import { setTimeout as sleep } from 'node:timers/promises';
import { KiB, MiB } from '../../src/base/units.ts';
import { Chance } from './chance.ts';
import type { Checker } from './checker.ts';
import { Client, type Manner } from './client.ts';
import type { Images, Image, Layer } from './images.ts';
import type { Service } from './service.ts';

const MANNERS = { whole: 10, range: 4, 'hang-up': 2, slow: 1 } as const;
/** Blobs of an image that one client fetches at the same time, as container runtimes do. */
const AT_ONCE = 3;
const MAX_PAUSE_MS = 900;
const RECENT_IMAGES = 10;
/** Until a proxy that is down is looked at again. */
const LOOK_MS = 100;

/** The clients of one proxy: each pulls one image, or a part of one, after the other. */
export class Crowd {
  readonly #proxy: Service;
  readonly #images: Images;
  readonly #checker: Checker;
  readonly #running: Promise<void>[];
  #isOver = false;

  constructor(proxy: Service, images: Images, checker: Checker, { seed, clients }: { seed: string; clients: number }) {
    this.#proxy = proxy;
    this.#images = images;
    this.#checker = checker;
    this.#running = Array.from({ length: clients }, (_, n) => this.#run(new Chance(seed, proxy.name, n)));
  }

  /** Ends after what is under way. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#running);
  }

  async #run(chance: Chance): Promise<void> {
    const client = new Client();
    while (!this.#isOver) {
      // The choice does not depend on how long anything took, but for which images there are by now.
      const back = Math.floor(chance.next() ** 2 * RECENT_IMAGES);
      const wholeImage = chance.hits(0.6);
      const pause = chance.whole(0, MAX_PAUSE_MS);
      if (this.#proxy.isUp) {
        const image = this.#images.at(Math.max(0, this.#images.count - 1 - back));
        if (wholeImage) await this.#pull(client, image, chance);
        else await this.#part(client, image, chance);
      }
      await sleep(this.#proxy.isUp ? pause : LOOK_MS);
    }
    client.close();
  }

  /** All of an image, whole. */
  async #pull(client: Client, image: Image, chance: Chance): Promise<void> {
    if (!(await pullManifest(client, this.#proxy, image, this.#checker, chance.hits(0.5)))) return;
    const left = [...image.layers];
    const work = async () => {
      for (let layer = left.shift(); layer; layer = left.shift())
        await pullBlob(client, this.#proxy, image, layer, { kind: 'whole' }, this.#checker);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  async #part(client: Client, image: Image, chance: Chance): Promise<void> {
    const layer = chance.pick(image.layers);
    const manner = mannerFor(layer, chance);
    await pullBlob(client, this.#proxy, image, layer, manner, this.#checker);
  }
}

function mannerFor({ size }: Layer, chance: Chance): Manner {
  const kind = chance.weighted(MANNERS);
  if (kind === 'hang-up') return { kind, after: chance.whole(1, size + 1) };
  if (kind === 'slow') return { kind, bytesPerSecond: chance.whole(512 * KiB, 4 * MiB) };
  if (kind === 'whole') return { kind };
  const start = chance.whole(0, size);
  return { kind, start, end: chance.whole(start + 1, Math.min(size, start + 4 * MiB) + 1) };
}

export async function pullManifest(
  client: Client,
  proxy: Service,
  image: Image,
  checker: Checker,
  byTag: boolean,
): Promise<boolean> {
  const { repository, tag, manifestDigest } = image;
  const what = `manifest ${repository}:${byTag ? tag : manifestDigest}`;
  // A tag is remembered apart from its manifest.
  const digest = byTag ? tag : manifestDigest;
  const request = { proxy, what, repository, digest, isWhole: true, hungUp: false, beganAt: performance.now() };
  return checker.judge(request, await client.manifest(proxy.url('mirror'), image, byTag));
}

export async function pullBlob(
  client: Client,
  proxy: Service,
  { repository }: Image,
  layer: Layer,
  manner: Manner,
  checker: Checker,
): Promise<boolean> {
  const { digest, size } = layer;
  const hungUp = manner.kind === 'hang-up' && manner.after < size;
  const what = `${JSON.stringify(manner)} of ${digest} (${size} bytes, ${repository})`;
  const isWhole = manner.kind !== 'range';
  const request = { proxy, what, repository, digest, isWhole, hungUp, beganAt: performance.now() };
  return checker.judge(request, await client.blob(proxy.url('mirror'), repository, layer, manner));
}
