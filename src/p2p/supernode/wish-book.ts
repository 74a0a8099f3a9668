import type { Digest } from '../../base/digest.ts';
import { MAX_WISHES } from '../protocol/limits.ts';
import { Impossible } from './plausible.ts';

/**
 * The wishes of one session: each was given a number by its proxy, which goes up and stands for the blob's digest in all that is
 * said later, here and there. Throws Impossible where a number cannot be one.
 */
export class WishBook {
  /** Digest of each wish, and number of each digest; most sessions wish for nothing. */
  #digests: Map<number, Digest> | undefined;
  #numbers: Map<Digest, number> | undefined;
  #last = -1;
  /** Wishes of the session before this one that have not been made again. */
  #inherited: Set<Digest> | undefined;

  /** A wish is made; for a digest that is wished for already the number is another one from now on. */
  make(wish: number, digest: Digest): void {
    if (wish <= this.#last) throw new Impossible(`wish ${wish} was made before`);
    this.#digests ??= new Map();
    this.#numbers ??= new Map();
    const earlier = this.#numbers.get(digest);
    if (earlier !== undefined) this.#digests.delete(earlier);
    else if (this.#digests.size >= MAX_WISHES) throw new Impossible(`more than ${MAX_WISHES} wishes`);
    this.#last = wish;
    this.#inherited?.delete(digest);
    this.#digests.set(wish, digest);
    this.#numbers.set(digest, wish);
  }

  /** The wish is over. Undefined: it was before, and this was on its way already. */
  leave(wish: number): Digest | undefined {
    const digest = this.digestOf(wish);
    if (digest === undefined) return undefined;
    this.#digests!.delete(wish);
    this.#numbers!.delete(digest);
    return digest;
  }

  /** Undefined: it was left, and this was on its way already. */
  digestOf(wish: number): Digest | undefined {
    this.check(wish);
    return this.#digests?.get(wish);
  }

  /** The number that the proxy gave to its wish for the blob. */
  numberOf(digest: Digest): number | undefined {
    return this.#numbers?.get(digest);
  }

  /** Throws Impossible: there was no such wish. */
  check(wish: number): void {
    if (wish > this.#last) throw new Impossible(`there was no wish ${wish}`);
  }

  /** The session takes the place of another one: it has that one's wishes, until it is known which are made again. */
  inherit(before: WishBook): void {
    this.#inherited = new Set(before.#inherited);
    for (const digest of before.#numbers?.keys() ?? []) this.#inherited.add(digest);
  }

  /** Inherited wishes that were not made again; from now on there are none. */
  takeInherited(): Iterable<Digest> {
    const inherited = this.#inherited ?? [];
    this.#inherited = undefined;
    return inherited;
  }
}
