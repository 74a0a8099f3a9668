import { Bag } from './bag.ts';
import { firstClear, lowestBit, maskOf } from './bitmap.ts';
import {
  FAN_OUT_LESSEES,
  HEAD_PIECES,
  RUNS_PER_DECISION,
  SOURCES_PER_CHOICE,
  SOURCES_PER_THOROUGH_CHOICE,
  WINDOW_PIECES,
} from './limits.ts';
import type { Context } from './context.ts';
import type { Awaited, Blob, Member, Wish } from './state.ts';
import { isAvoided } from './trust.ts';

export interface Choice {
  readonly piece: number;
  readonly source: Member;
}

/** The first piece of the run that is not here, remembered. */
export function firstMissing(wish: Wish, run: Awaited): number {
  const { member } = wish;
  if (member.whole) run.next = run.end;
  else if (member.held.length > 0)
    run.next = firstClear(member.held, run.next, Math.min(run.end, wish.blob.pieceCount));
  return run.next;
}

/** The end of the part of a run in which pieces are fetched and leased just now. */
export function windowEnd(run: Awaited, from: number, windowed: boolean): number {
  return windowed ? Math.min(run.end, from + WINDOW_PIECES) : run.end;
}

/**
 * Which piece a wish gets next, and from whom. Pieces: the first two that its client waits for, then the one that the fewest
 * have or are getting, ties at random, or in order while nobody else wishes for the blob. Sources, among those with a free slot: the same zone first, then the least loaded.
 */
export class Chooser {
  readonly #context: Context;
  /** The words of the window that are wanted, and those that the sources can give. */
  #wanted = new Uint32Array(8);
  #given = new Uint32Array(8);
  #firstWord = 0;
  #words = 0;
  #sources: Member[] = [];

  constructor(context: Context) {
    this.#context = context;
  }

  /** The wish could take a piece that is not on its way yet, if somebody had it. */
  isHungry(wish: Wish): boolean {
    return this.#runs(wish, (run) => this.#want(wish, run)) === true;
  }

  /** Undefined: no source with a free slot has what it needs. */
  choose(wish: Wish, thorough = false): Choice | undefined {
    if (!this.isHungry(wish)) return undefined;
    if (!this.#gather(wish, thorough ? SOURCES_PER_THOROUGH_CHOICE : SOURCES_PER_CHOICE)) return undefined;
    return this.#runs(wish, (run) => {
      if (!this.#want(wish, run)) return undefined;
      const piece = this.#pick(wish, run);
      return piece === undefined ? undefined : { piece, source: this.#bestSource(wish, piece) };
    });
  }

  /** The piece that this source gives to the wish best. */
  chooseFrom(wish: Wish, source: Member): number | undefined {
    this.#sources.length = 0;
    this.#sources.push(source);
    return this.#runs(wish, (run) => (this.#want(wish, run) ? this.#pick(wish, run) : undefined));
  }

  #runs<T>(wish: Wish, of: (run: Awaited) => T | undefined): T | undefined {
    let looked = 0;
    for (const run of wish.awaited) {
      if (firstMissing(wish, run) >= run.end) continue;
      const found = of(run);
      if (found) return found;
      // Piece 0 is an answer too.
      if (found === 0) return found;
      looked += 1;
      if (looked === RUNS_PER_DECISION) break;
    }
    return undefined;
  }

  /** Marks what is wanted of a run; true when anything is. */
  #want(wish: Wish, run: Awaited): boolean {
    const { member, blob, flying } = wish;
    if (!blob.pieces || member.whole) return false;
    const from = run.next;
    const end = Math.min(windowEnd(run, from, this.#context.rules.window), blob.pieces.count);
    const first = from >>> 5;
    const words = ((end - 1) >>> 5) - first + 1;
    this.#firstWord = first;
    this.#words = words;
    if (words > this.#wanted.length) {
      this.#wanted = new Uint32Array(words);
      this.#given = new Uint32Array(words);
    }
    const { held } = member;
    let any = 0;
    for (let i = 0; i < words; i += 1) {
      const here = held.length > 0 ? held[first + i]! : 0;
      const wanted = ~(here | flying[first + i]!) & maskOf(first + i, from, end);
      this.#wanted[i] = wanted;
      any |= wanted;
    }
    return any !== 0;
  }

  /** Some sources with a free slot, those of the wish's own zone first. */
  #gather(wish: Wish, most: number): boolean {
    const { blob, peer } = wish;
    this.#sources.length = 0;
    const near = peer.zone === '' ? undefined : blob.freeByZone.get(peer.zone);
    if (near) this.#gatherFrom(near, wish, Math.ceil(most / 2));
    this.#gatherFrom(blob.free, wish, most);
    return this.#sources.length > 0;
  }

  #gatherFrom(bag: Bag<Member>, wish: Wish, most: number): void {
    const context = this.#context;
    if (bag.size === 0) return;
    let position = Math.floor(context.random() * bag.size);
    for (let looked = 0; looked < most && looked < bag.size;) {
      if (position >= bag.size) position = 0;
      const source = bag.at(position)!;
      if (!this.#canGive(source)) {
        removeFree(source);
        continue;
      }
      looked += 1;
      position += 1;
      if (source.peer !== wish.peer && !isAvoided(wish.peer, source.peer, context.now)) this.#sources.push(source);
    }
  }

  #canGive(source: Member): boolean {
    const { now, slots } = this.#context;
    const { peer, blob } = source;
    return source.counted && source.holdsAny && peer.busyUntil <= now && slots.canUpload(peer, blob.isSmall);
  }

  /** Scarce sources are spared first: asked only for what nobody else holds. */
  #pick(wish: Wish, run: Awaited): number | undefined {
    const isScarce = wish.blob.lessees < FAN_OUT_LESSEES && this.#sources.some((source) => this.#isScarce(source));
    return (isScarce ? this.#pickOf(wish, run, true) : undefined) ?? this.#pickOf(wish, run, false);
  }

  #pickOf(wish: Wish, run: Awaited, sparing: boolean): number | undefined {
    const { blob } = wish;
    const first = this.#firstWord;
    let any = 0;
    for (let i = 0; i < this.#words; i += 1) {
      const wanted = this.#wanted[i]!;
      let given = 0;
      if (wanted !== 0) {
        for (const source of this.#sources) {
          const here = source.whole ? wanted : source.held[first + i]! & wanted;
          given |= sparing && this.#isScarce(source) ? soleOf(blob, first + i, here) : here;
          if (given === wanted) break;
        }
      }
      this.#given[i] = given;
      any |= given;
    }
    return any === 0 ? undefined : (this.#head(wish, run) ?? this.#rarest(blob));
  }

  /** One of the first missing pieces, if it can be had. */
  #head(wish: Wish, run: Awaited): number | undefined {
    const { rules } = this.#context;
    if (!rules.headOfLine) return undefined;
    const { held } = wish.member;
    for (let piece = run.next, n = 0; n < HEAD_PIECES && piece < run.end; n += 1) {
      const word = (piece >>> 5) - this.#firstWord;
      if (word >= this.#words) return undefined;
      if ((this.#given[word]! >>> (piece & 31)) & 1 && this.#mayFlow(wish.blob, piece)) return piece;
      piece = held.length > 0 ? firstClear(held, piece + 1, run.end) : piece + 1;
    }
    return undefined;
  }

  #rarest(blob: Blob): number | undefined {
    const { random, rules } = this.#context;
    // Who shares with nobody gets them in order: what comes early has to be read back, to be hashed.
    const isAlone = blob.wishes.size === 1;
    let best: number | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    let ties = 0;
    for (let i = 0; i < this.#words; i += 1) {
      for (let rest = this.#given[i]!; rest !== 0; rest &= rest - 1) {
        const piece = (this.#firstWord + i) * 32 + lowestBit(rest);
        const copies = rules.rarest ? blob.holders[piece]! + blob.inFlight[piece]! : 0;
        if (copies > fewest || !this.#mayFlow(blob, piece)) continue;
        ties = copies < fewest ? 1 : ties + 1;
        fewest = copies;
        if (ties === 1 || (!isAlone && random() * ties < 1)) best = piece;
      }
    }
    return best;
  }

  /** With few lessees a new piece would else go out to all slots of its only holder at once, and the next one wait. */
  #mayFlow(blob: Blob, piece: number): boolean {
    if (!this.#context.rules.fanOut || blob.lessees >= FAN_OUT_LESSEES || blob.isSmall) return true;
    return blob.inFlight[piece]! < blob.holders[piece]! + blob.wholes;
  }

  /** One of few lessees: all that is new comes through its slots, so what others hold too is better fetched from them. */
  #isScarce({ blob, wish }: Member): boolean {
    return this.#context.rules.fanOut && blob.lessees < FAN_OUT_LESSEES && wish !== undefined && wish.isLessee;
  }

  #bestSource(wish: Wish, piece: number): Member {
    let best: Member | undefined;
    let bestLoad = 0;
    for (const source of this.#sources) {
      if (!source.has(piece)) continue;
      const { peer } = source;
      const far = peer.zone === wish.peer.zone ? 0 : 1000;
      const load = far + Number(this.#isScarce(source)) + peer.uploads / this.#context.slots.uploadSlotsOf(peer);
      if (best && load >= bestLoad) continue;
      best = source;
      bestLoad = load;
    }
    return best!;
  }
}

/** Those pieces of a word that one source holds alone. */
function soleOf(blob: Blob, word: number, pieces: number): number {
  let sole = 0;
  for (let rest = pieces; rest !== 0; rest &= rest - 1) {
    const bit = lowestBit(rest);
    if (blob.holders[word * 32 + bit]! + blob.wholes <= 1) sole |= 1 << bit;
  }
  return sole;
}

/** The source has a slot to give. */
export function addFree(source: Member): void {
  const { blob, peer } = source;
  blob.free.add(source);
  if (peer.zone === '') return;
  let near = blob.freeByZone.get(peer.zone);
  if (!near) {
    near = new Bag<Member>();
    blob.freeByZone.set(peer.zone, near);
  }
  near.add(source);
}

export function removeFree(source: Member): void {
  const { blob, peer } = source;
  blob.free.delete(source);
  const near = blob.freeByZone.get(peer.zone);
  near?.delete(source);
  if (near?.size === 0) blob.freeByZone.delete(peer.zone);
}
