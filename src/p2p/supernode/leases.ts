import type { PieceRun } from '../protocol/coordinator.ts';
import type { Context } from './context.ts';
import { LeaseBook, liveLeases } from './lease-book.ts';
import { LeaseFinder } from './lease-finder.ts';
import { isAlone, mayProbe, mayRead, mostLeases, mostLessees, runLength } from './lease-limits.ts';
import { isWorthCutting, rateOf, totalRate } from './lease-rates.ts';
import { LEASE_LOST_MS, LEASE_SILENT_MS, MAX_LEASES_PER_PROXY, WAITERS_PER_SLOT } from './limits.ts';
import type { Matcher } from './matcher.ts';
import { Lease, type Blob, type Wish } from './state.ts';

/** How long a connection more is watched before it is said whether it brought more. */
const PROBE_MS = 600;

/**
 * Who reads what from the origin. What no source holds and nobody reads is leased in runs: adjacent ones from the front, as
 * long as a second's reading, so that all lessees read near what clients wait for; the whole rest to a proxy that is alone.
 */
export class Leasing {
  readonly #context: Context;
  readonly #book: LeaseBook;
  readonly #finder: LeaseFinder;
  readonly #matcher: Pick<Matcher, 'fill'>;
  readonly #settledAt: number;

  constructor(context: Context, matcher: Pick<Matcher, 'fill'>, settledAt: number, firstId: number) {
    this.#context = context;
    this.#matcher = matcher;
    this.#book = new LeaseBook(context, firstId);
    this.#finder = new LeaseFinder(context, this.#book);
    this.#settledAt = settledAt;
  }

  /** False while peers come back after a restart: nothing new is leased, and nothing said to be nowhere. */
  get isSettled(): boolean {
    return this.#context.now >= this.#settledAt;
  }

  /** A number that no lease has. */
  takeId(): number {
    return this.#book.takeId();
  }

  /** Grants the wish a lease, if it may have one more and there is anything to read. `early`: the next one, while one still runs. */
  ask(wish: Wish, early = false): void {
    const context = this.#context;
    const { blob } = wish;
    if (!this.isSettled || !mayRead(wish, context.now)) return;
    const own = liveLeases(wish);
    const probes = !early && own > 0 && mayProbe(wish, context);
    if (own >= mostLeases(wish) + Number(early || probes)) return;
    if (own === 0 && blob.lessees >= mostLessees(wish, context)) return;
    const granted = wish.leases.length;
    const before = totalRate(blob, context.now);
    if (!blob.pieces || blob.noRanges) this.#finder.whole(wish);
    else if (!this.#finder.unclaimed(wish) && !early) this.#finder.half(wish);
    for (const lease of wish.leases.slice(granted)) this.#watch(lease, lease.grantedAt + LEASE_SILENT_MS);
    if (probes && wish.leases.length > granted) this.#probe(wish, before);
  }

  /** Offers what is unclaimed to those who wait for this blob. */
  offer(blob: Blob): void {
    for (let looks = Math.min(WAITERS_PER_SLOT, blob.wishes.size); looks > 0; looks -= 1) {
      const wish = blob.wishes.next()!;
      if (wish.leases.length === 0) this.ask(wish);
    }
  }

  /** Keeps count of who can read the origin; a lone proxy's rest is cut when a second one comes. */
  recountReader(wish: Wish): void {
    const { blob, peer } = wish;
    const isReader = !wish.closed && wish.origin !== undefined && wish.awaited.length > 0;
    const isSourceReader = isReader && peer.isSource;
    blob.readers += Number(isReader) - Number(wish.isReader);
    blob.sourceReaders += Number(isSourceReader) - Number(wish.isSourceReader);
    wish.isReader = isReader;
    wish.isSourceReader = isSourceReader;
    this.#cutLone(blob);
  }

  /** Bytes of the lease come. */
  progress(wish: Wish, id: number): void {
    const lease = wish.leases.find((one) => one.id === id);
    if (lease) this.#heard(lease);
  }

  /** What was said of the blob's leases meanwhile has not been read yet. */
  paused(blob: Blob): void {
    for (const lease of blob.leases) lease.lastHeardAt = this.#context.now;
  }

  /** The proxy has read a piece from the origin, which its member holds now. */
  pieceRead(wish: Wish, piece: number, ms: number): void {
    const lease = wish.leases.find((one) => one.next <= piece && piece <= one.last) ?? wish.leases[0];
    if (!lease) return;
    this.#heard(lease);
    lease.measure(wish.blob.bytesOf(piece), this.#context.now, ms);
    if (piece < lease.next || piece > lease.last) return;
    this.#book.came(lease, piece);
    this.#planNext(lease);
  }

  /** The lease is over: what it has not read is anybody's. False: there is no such lease. */
  ended(wish: Wish, id: number): boolean {
    const lease = wish.leases.find((one) => one.id === id);
    if (lease) this.#book.drop(lease);
    return lease !== undefined;
  }

  /** A read that began under an earlier supernode goes on. */
  adopt(wish: Wish, id: number, run: PieceRun): void {
    if (wish.leases.some((one) => one.id === id) || wish.leases.length >= MAX_LEASES_PER_PROXY) return;
    const last = Math.min(run.first + run.count, wish.blob.pieceCount) - 1;
    if (!Number.isInteger(run.first) || run.first < 0 || !(last >= run.first)) return;
    const { now } = this.#context;
    const lease = new Lease(id, wish, { first: run.first, last }, now, false);
    this.#book.add(lease);
    this.#watch(lease, now + LEASE_SILENT_MS);
  }

  /** The wish is given up, and all that it reads. */
  dropAll(wish: Wish): void {
    for (const lease of wish.leases.toReversed()) this.#book.drop(lease);
  }

  /** The blob's size has become known while it was being read. */
  sized(blob: Blob): void {
    this.#book.sized(blob);
    this.#cutLone(blob);
  }

  /** The origin reads this blob out from front to back only: of the reads under way one goes on. */
  noRanges(blob: Blob): void {
    if (blob.noRanges) return;
    blob.noRanges = true;
    const front = blob.leases.reduce<Lease | undefined>(
      (best, lease) => (lease.isLive && (!best || lease.first < best.first) ? lease : best),
      undefined,
    );
    for (const lease of blob.leases) if (lease !== front && !lease.hasBytes) this.#book.cut(lease, lease.next - 1);
  }

  #cutLone(blob: Blob): void {
    if (isAlone(blob) || !blob.pieces || blob.noRanges || !this.#context.rules.cutLone) return;
    for (const lease of blob.leases) {
      if (!lease.isLone || !lease.wish.origin?.hasRanges || !isWorthCutting(lease, this.#context.now)) continue;
      lease.isLone = false;
      if (!this.#book.cut(lease, lease.next + runLength(lease.wish, this.#context) - 1)) continue;
      // Once what was cut off has been given to whom it was cut for.
      this.#context.agenda.add(this.#context.now, () => {
        if (lease.hasBytes) this.#planNext(lease);
      });
    }
  }

  #heard(lease: Lease): void {
    const { now } = this.#context;
    const { wish } = lease;
    lease.lastHeardAt = now;
    wish.tries = 0;
    if (lease.hasBytes) return;
    lease.begins(now);
    wish.leadMs += 0.5 * (now - lease.grantedAt - wish.leadMs);
    if (lease.first === 0 || !wish.origin || wish.origin.hasRanges) return;
    wish.origin.hasRanges = true;
    this.#cutLone(wish.blob);
    this.offer(wish.blob);
  }

  /** The next run is granted so early that its first byte comes when the present one's last has come. */
  #planNext(lease: Lease): void {
    const { wish } = lease;
    const { agenda, now, rules } = this.#context;
    if (!rules.earlyGrant || !lease.isLive || !wish.blob.pieces || wish.leases.at(-1) !== lease) return;
    const rate = rateOf(lease, now);
    if (rate === undefined) return;
    const pieceMs = wish.blob.pieces.pieceSize / rate;
    const spare = (lease.last - lease.next + 1) * pieceMs - wish.leadMs;
    if (spare <= 0) {
      this.ask(wish, true);
      return;
    }
    // With more than a piece to spare, its report plans anew.
    if (spare > 1.5 * pieceMs) return;
    lease.plan += 1;
    const { plan } = lease;
    agenda.add(now + spare, () => {
      if (lease.plan === plan && lease.isLive) this.ask(wish, true);
    });
  }

  /** Two seconds without a byte: others may read what it has not read. */
  #watch(lease: Lease, at: number): void {
    this.#context.agenda.add(at, () => {
      const { wish } = lease;
      const { now } = this.#context;
      if (!wish.leases.includes(lease)) return;
      // The same sum as the time of this task: a difference could be rounded the other way, and never be due.
      const silentAt = lease.lastHeardAt + LEASE_SILENT_MS;
      if (lease.stalled) {
        this.#book.drop(lease);
      } else if (now < silentAt) {
        this.#watch(lease, silentAt);
        return;
      } else {
        this.#book.stall(lease);
        this.#watch(lease, now + LEASE_LOST_MS - LEASE_SILENT_MS);
      }
      this.offer(wish.blob);
      // What it was reading itself it takes from others now, whether they have it already or read it next.
      this.#matcher.fill(wish.peer);
    });
  }

  #probe(wish: Wish, before: number): void {
    const context = this.#context;
    const origin = wish.origin!;
    wish.isProbing = true;
    origin.probe();
    context.agenda.add(context.now + wish.leadMs + PROBE_MS, () => {
      wish.isProbing = false;
      origin.probed(before, totalRate(wish.blob, context.now), wish.rate!, context.now);
    });
  }
}
