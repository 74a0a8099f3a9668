/** Uploads at the same time that the supernode counts on: U of the design. */
export const DEFAULT_UPLOAD_SLOTS = 4;

/**
 * The uploader's last word on how many it serves at once. The supernode hands out U slots a proxy, so nothing queues here;
 * twice as many are allowed, for peers that ask on their own, and one more for blobs of one piece (manifests, configs), which
 * must not wait behind layers.
 */
export class UploadSlots {
  readonly #most: number;
  #used = 0;

  constructor(slots = DEFAULT_UPLOAD_SLOTS) {
    this.#most = 2 * slots;
  }

  get used(): number {
    return this.#used;
  }

  /** A slot: call what it gives when the upload is over (twice does no harm). Undefined: busy. */
  take(blob: { readonly onePiece: boolean }): (() => void) | undefined {
    if (this.#used >= this.#most + (blob.onePiece ? 1 : 0)) return undefined;
    this.#used += 1;
    let held = true;
    return () => {
      if (held) this.#used -= 1;
      held = false;
    };
  }
}
