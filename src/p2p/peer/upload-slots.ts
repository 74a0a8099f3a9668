import { NO_PRESSURE, type PressureView } from '../../base/pressure.ts';

/** Uploads at the same time that the supernode counts on: U of the design. */
export const DEFAULT_UPLOAD_SLOTS = 4;

/** A node that nobody else may replace as a holder still gives, though slowly. */
const SLOTS_UNDER_PRESSURE = 1;

/**
 * The uploader's last word on how many it serves at once. The supernode hands out U slots a proxy, so nothing queues here;
 * twice as many are allowed, for peers that ask on their own, and one more for blobs of one piece (manifests, configs), which
 * must not wait behind layers.
 */
export class UploadSlots {
  readonly #usual: number;
  readonly #pressure: Pick<PressureView, 'level'>;
  #used = 0;

  /** Under `pressure` there is one slot, and none for blobs of one piece. */
  constructor(slots = DEFAULT_UPLOAD_SLOTS, pressure: Pick<PressureView, 'level'> = NO_PRESSURE) {
    this.#usual = 2 * slots;
    this.#pressure = pressure;
  }

  get used(): number {
    return this.#used;
  }

  /** A slot: call what it gives when the upload is over (twice does no harm). Undefined: busy. */
  take(blob: { readonly onePiece: boolean }): (() => void) | undefined {
    if (this.#used >= this.#mostFor(blob)) return undefined;
    this.#used += 1;
    let held = true;
    return () => {
      if (held) this.#used -= 1;
      held = false;
    };
  }

  #mostFor({ onePiece }: { readonly onePiece: boolean }): number {
    if (this.#pressure.level !== 'none') return SLOTS_UNDER_PRESSURE;
    return this.#usual + (onePiece ? 1 : 0);
  }
}
