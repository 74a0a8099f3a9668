import type { PieceFailure } from '../../../../src/p2p/protocol/coordinator.ts';
import type { Decision, SwarmEvent } from '../../../../src/p2p/supernode/events.ts';
import { MAX_TRIES_WITHOUT_PROGRESS, TRANSFER_DEADLINE_MS } from '../../../../src/p2p/supernode/limits.ts';
import { digest, Driver } from '../driver.ts';
import { audit } from './audit.ts';
import { isLive, Rules, SWEPT_MS } from './rules.ts';
import { World, type Fetch, type ModelBlob, type Part, type Read } from './world.ts';

/** Proxies give a fetch up long before the swarm does. */
const FETCH_GIVEN_UP_MS = 30_000;
const SETTLE_MS = 2000;

/**
 * A swarm, and a world of proxies around it that do what they are told, or fail, die, fall silent and lie. Each decision is checked
 * against what the world knows to be true, and after each event all of the swarm's own counts are counted anew.
 */
export class Model {
  driver = new Driver({ seed: 7 });
  readonly world = new World();
  readonly rules = new Rules(this.world);
  readonly log: Decision[] = [];
  /** What was done, and will be reported too late. */
  readonly late: SwarmEvent[] = [];
  #restarts = 0;

  constructor(rangesAreKnown = true) {
    if (rangesAreKnown) this.driver.proveRanges();
  }

  tell(event: SwarmEvent): void {
    this.hear(this.driver.tell(event));
  }

  /** Takes in what the swarm has said. */
  hear(said: readonly Decision[]): void {
    this.log.push(...said);
    for (const one of said) {
      if (one.kind === 'reject' || one.kind === 'trouble' || one.kind === 'blamed') continue;
      const part = this.world.part(one.peer, one.digest);
      if (!this.world.alive.has(one.peer) || !part.wants) throw new Error(`said to nobody: ${JSON.stringify(one)}`);
      // Whoever is told anything else after that is served again.
      part.toldNone = one.kind === 'none' || (part.toldNone && one.kind === 'cut');
      if (one.kind === 'fetch') this.#fetch(one, part);
      else if (one.kind === 'lease') this.#lease(one, part);
      else if (one.kind === 'cut') part.reads.get(one.lease)!.last = one.last;
    }
  }

  check(): void {
    this.rules.state(this.driver);
    audit(this.driver.directory, this.driver.now);
  }

  pass(ms: number): void {
    this.#giveUp(FETCH_GIVEN_UP_MS);
    this.driver.pass(ms, (said) => this.hear(said));
  }

  /** The supernode does not run for so long; all others do. */
  sleep(ms: number): void {
    this.#overdue(ms);
    this.driver.sleep(ms, (said) => this.hear(said));
  }

  join(peer: string, { reachable, zone, slots }: { reachable: boolean; zone: string; slots: number }): void {
    const { alive, unreachable, uploadSlots } = this.world;
    alive.add(peer);
    uploadSlots.set(peer, slots);
    if (reachable) unreachable.delete(peer);
    else unreachable.add(peer);
    this.tell({ kind: 'peer', peer, reachable, zone, uploadSlots: slots });
  }

  die(peer: string): void {
    if (!this.world.alive.has(peer)) return;
    this.world.forget(peer);
    this.rules.arrived(peer);
    this.tell({ kind: 'gone', peer });
    this.world.forgetRanges();
  }

  /** `unsized`: nobody has told it the size. */
  want(peer: string, blob: ModelBlob, { origin, unsized = false }: { origin: boolean; unsized?: boolean }): void {
    const part = this.world.part(peer, blob.digest);
    if (!this.world.alive.has(peer) || this.world.paused.has(peer) || part.wants) return;
    // What it has lied about it wants now.
    if (part.lied.size > 0) this.lose(part);
    if (part.isWhole) return;
    Object.assign(part, { wants: true, origin, toldNone: false, tries: 0 });
    const { size, image, count } = blob;
    this.tell({
      kind: 'want',
      ...nameOf(part),
      size: unsized && part.held.size === 0 ? undefined : size,
      held: [...part.held],
      image,
      awaited: [{ first: 0, count: unsized ? Number.POSITIVE_INFINITY : count }],
      ...(origin && { origin: 'origin' }),
    });
  }

  leave(part: Part): void {
    if (!part.wants) return;
    part.drop();
    this.tell({ kind: 'leave', ...nameOf(part) });
    this.world.forgetRanges();
  }

  awaiting(part: Part, run: { first: number; count: number }): void {
    part.toldNone = false;
    this.tell({ kind: 'awaiting', ...nameOf(part), awaited: [run] });
  }

  /** Does one piece of work that is under way, well. */
  step(pick: number, outOfOrder = false): boolean {
    const work = this.world.work();
    const item = work[pick % Math.max(1, work.length)];
    if (!item) return false;
    const { part } = item;
    this.#sized(part);
    if (item.fetch) this.#fetched(part, item.fetch);
    else this.#read(part, item.read, outOfOrder);
    if (part.isWhole && part.lied.size === 0) this.leave(part);
    return true;
  }

  fail(pick: number, reason: PieceFailure): void {
    const work = this.world.work();
    const item = work[pick % Math.max(1, work.length)];
    if (!item) return;
    if (item.fetch) this.#fetchFailed(item.part, item.fetch, reason);
    else this.readFailed(item.part, item.read, { code: 'ORIGIN_CUT', final: reason === 'gone' });
  }

  readFailed(part: Part, read: Read, failure: { code: string; final: boolean; retryAfterMs?: number }): void {
    part.reads.delete(read.id);
    // Of one that was given up long ago nothing is heard any more.
    const isKnown = this.driver.directory.blobs.get(part.blob.digest)?.leases.some(({ id }) => id === read.id);
    if (isKnown) part.tries += 1;
    if ((isKnown && failure.final) || part.tries >= MAX_TRIES_WITHOUT_PROGRESS) part.origin = false;
    this.tell({ kind: 'ended', ...nameOf(part), lease: read.id, failure });
  }

  /** It has evicted the blob. */
  lose(part: Part): void {
    if (!this.world.alive.has(part.peer) || part.wants || this.world.paused.has(part.peer)) return;
    for (const other of this.world.parts())
      for (const { from } of other.fetching.values()) if (from === part.peer) this.world.failedOnce.add(from);
    part.held.clear();
    part.lied.clear();
    this.tell({ kind: 'lost', ...nameOf(part) });
  }

  /** The supernode is killed and another one started: it knows only what it is told again. */
  restart(): void {
    this.#restarts += 1;
    const { now } = this.driver;
    const firstLease = this.#restarts * 1_000_000;
    this.driver = new Driver({ seed: 7 + this.#restarts, settleMs: SETTLE_MS, firstLease, now });
    this.world.noRanges.clear();
    this.world.paused.clear();
    this.late.length = 0;
    this.rules.forget();
    this.#proveRanges();
    const { alive, unreachable, uploadSlots } = this.world;
    for (const part of this.world.parts()) part.fetching.clear();
    for (const peer of alive)
      this.tell({ kind: 'peer', peer, reachable: !unreachable.has(peer), uploadSlots: uploadSlots.get(peer) });
    for (const part of this.world.parts()) if (alive.has(part.peer)) this.#tellAgain(part);
  }

  // --- how proxies work ---

  #fetch(one: Extract<Decision, { kind: 'fetch' }>, part: Part): void {
    this.rules.fetch(one, part, this.driver);
    const { piece, from } = one;
    part.fetching.set(piece, { piece, from, life: this.world.lifeOf(from), begunAt: this.driver.now });
  }

  #lease(one: Extract<Decision, { kind: 'lease' }>, part: Part): void {
    const last = Math.min(part.blob.count, one.run.first + one.run.count) - 1;
    this.rules.lease(one, part, last, this.driver);
    const read = { id: one.lease, next: one.run.first, last, early: new Set<number>(), stalled: false };
    part.reads.set(one.lease, { ...read, heardAt: this.driver.now });
  }

  #fetched(part: Part, fetch: Fetch): void {
    const { piece, from } = fetch;
    const sender = this.world.part(from, part.blob.digest);
    if (!this.world.alive.has(from)) this.#fetchFailed(part, fetch, 'reset');
    else if (this.world.paused.has(from)) this.#fetchFailed(part, fetch, 'timeout');
    else if (sender.lied.has(piece)) this.#fetchFailed(part, fetch, 'bad');
    else if (!sender.held.has(piece)) this.#fetchFailed(part, fetch, 'gone');
    else {
      part.fetching.delete(piece);
      part.held.add(piece);
      this.tell({ kind: 'piece', ...nameOf(part), piece, from, ms: 20, crc32: piece });
    }
  }

  #fetchFailed(part: Part, fetch: Fetch, reason: PieceFailure): void {
    const { piece, from } = fetch;
    part.fetching.delete(piece);
    this.world.failedOnce.add(from);
    const wish = this.driver.directory.blobs.get(part.blob.digest)?.members.get(part.peer)?.wish;
    // What the swarm has given up itself is no news to it.
    if (wish?.transfers.some((transfer) => transfer.piece === piece && transfer.source.id === from))
      this.rules.failed(part.peer, fetch, reason, this.driver.now);
    this.tell({ kind: 'failed', ...nameOf(part), piece, from, reason });
  }

  /** `outOfOrder`: the piece after the next is written first. */
  #read(part: Part, read: Read, outOfOrder: boolean): void {
    isLive(read, this.driver.now);
    read.heardAt = this.driver.now;
    if (read.next > read.last) {
      part.reads.delete(read.id);
      this.tell({ kind: 'ended', ...nameOf(part), lease: read.id });
      return;
    }
    const ahead = read.next + 1;
    const piece = outOfOrder && ahead <= read.last && !read.early.has(ahead) ? ahead : read.next;
    if (piece !== read.next) read.early.add(piece);
    else
      do read.next += 1;
      while (read.early.delete(read.next));
    part.tries = 0;
    part.held.add(piece);
    // Others may have been asked for what a read that had fallen silent brings now.
    part.fetching.delete(piece);
    this.tell({ kind: 'piece', ...nameOf(part), piece, ms: 20, crc32: piece });
  }

  #sized(part: Part): void {
    const known = this.driver.directory.blobs.get(part.blob.digest)?.pieces;
    if (part.wants && !known) this.tell({ kind: 'size', ...nameOf(part), size: part.blob.size });
  }

  /** What was begun so long ago is given up by those who run. */
  #giveUp(ms: number): void {
    for (const { part, fetch } of this.world.work())
      if (fetch && fetch.begunAt + ms <= this.driver.now) this.#fetchFailed(part, fetch, 'timeout');
    this.#overdue(-SWEPT_MS);
  }

  /** What the swarm gives up within `ms` is reported only after that. */
  #overdue(ms: number): void {
    for (const part of this.world.parts()) {
      for (const { piece, from, begunAt } of part.fetching.values()) {
        if (begunAt + TRANSFER_DEADLINE_MS > this.driver.now + ms) continue;
        part.fetching.delete(piece);
        this.world.failedOnce.add(from);
        this.rules.gaveUp(part.peer, from);
        this.late.push({ kind: 'piece', ...nameOf(part), piece, from, ms: 60_000, crc32: piece });
      }
    }
  }

  #proveRanges(): void {
    const earlier = { peer: 'earlier', digest: digest('earlier') };
    const { driver } = this;
    driver.peers('earlier');
    driver.want('earlier', { blob: earlier.digest, mib: 2, held: [0], origin: 'origin' });
    driver.tell({ kind: 'reading', ...earlier, lease: 1, run: { first: 1, count: 1 } });
    driver.tell({ kind: 'progress', ...earlier, lease: 1 });
    driver.tell({ kind: 'gone', peer: 'earlier' });
  }

  #tellAgain(part: Part): void {
    const { blob, held, reads, origin } = part;
    if (!part.wants) {
      if (held.size > 0) this.tell({ kind: 'have', ...nameOf(part), size: blob.size, pieces: [...held] });
      return;
    }
    part.wants = false;
    this.want(part.peer, blob, { origin });
    for (const read of reads.values()) {
      read.heardAt = this.driver.now;
      read.stalled = false;
      const run = { first: read.next, count: read.last - read.next + 1 };
      if (run.count > 0) this.tell({ kind: 'reading', ...nameOf(part), lease: read.id, run });
    }
  }
}

/** A wish's name in events. */
export function nameOf({ peer, blob }: Part): { peer: string; digest: ModelBlob['digest'] } {
  return { peer, digest: blob.digest };
}
