import { LRUCache } from 'lru-cache';
import type { Digest } from '../base/digest.ts';

const MAX_REMEMBERED = 20_000;

/**
 * Which manifest named a blob last: the blobs of one image share the origin's attention (`Want.image`). A hint and no more:
 * what has been forgotten is fetched as well, only without regard to its siblings.
 */
export class ImageNames {
  readonly #images = new LRUCache<Digest, Digest>({ max: MAX_REMEMBERED });

  note(blob: Digest, manifest: Digest): void {
    this.#images.set(blob, manifest);
  }

  imageOf(blob: Digest): Digest | undefined {
    return this.#images.get(blob);
  }
}
