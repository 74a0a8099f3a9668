import type { Decision } from '../../../../src/p2p/supernode/events.ts';
import {
  BUSY_MS,
  COMPLAINTS_TO_SUSPEND,
  DOWNLOAD_SLOTS,
  FORGIVE_MS,
  LEASE_SILENT_MS,
  MAX_LESSEES,
  ONE_PIECE_SLOTS,
  TRANSFER_DEADLINE_MS,
  UPLOAD_SLOTS,
} from '../../../../src/p2p/supernode/limits.ts';
import type { Driver } from '../driver.ts';
import type { Fetch, Part, Read, World } from './world.ts';

type Of<K extends Decision['kind']> = Extract<Decision, { kind: K }>;

/** Between a deadline and the sweep that acts on it. */
export const SWEPT_MS = 500;

/** What no decision may ever do, by the truth of the world. */
export class Rules {
  readonly #world: World;
  /** Until when nothing may go from one to the other, or, with `* `, to anybody. */
  readonly #apart = new Map<string, number>();
  /** Pairs of which something worse than `gone` was said: they may be forgiven sooner than that. */
  readonly #failed = new Set<string>();
  /** Those who have said of a sender that its piece was bad. */
  readonly #complaints = new Map<string, Set<string>>();

  constructor(world: World) {
    this.#world = world;
  }

  /** A new swarm knows nothing of what was before. */
  forget(): void {
    this.#apart.clear();
    this.#failed.clear();
    this.#complaints.clear();
  }

  failed(receiver: string, { from: sender, life }: Fetch, reason: string, now: number): void {
    const apart = (pair: string, ms: number) => this.#apart.set(pair, now + ms);
    // One that has begun anew since is not the one that was asked.
    const isSame = this.#world.alive.has(sender) && this.#world.lifeOf(sender) === life;
    if (reason === 'busy' && isSame) apart(`* ${sender}`, BUSY_MS);
    const pair = `${receiver} ${sender}`;
    if (reason === 'gone' && !this.#failed.has(pair)) apart(pair, FORGIVE_MS);
    if (reason === 'busy' || reason === 'gone') return;
    this.#failed.add(pair);
    apart(pair, FORGIVE_MS);
    if (reason !== 'bad') return;
    this.#failed.add(`${sender} ${receiver}`);
    if (isSame) apart(`${sender} ${receiver}`, FORGIVE_MS);
    const complaints = this.#complaints.get(sender) ?? new Set();
    this.#complaints.set(sender, complaints.add(receiver));
  }

  /** The swarm has heard nothing for too long. */
  gaveUp(receiver: string, sender: string): void {
    this.#failed.add(`${receiver} ${sender}`);
  }

  /** The pair's part in the world begins anew. */
  arrived(peer: string): void {
    for (const pair of this.#apart.keys()) if (pair.startsWith(`${peer} `)) this.#apart.delete(pair);
    this.#apart.delete(`* ${peer}`);
  }

  fetch(one: Of<'fetch'>, part: Part, driver: Driver): void {
    const world = this.#world;
    const wrong = (what: string) => new Error(`${what}: ${JSON.stringify(one)}`);
    const from = world.part(one.from, one.digest);
    if (one.from === one.peer || !world.alive.has(one.from) || world.unreachable.has(one.from))
      throw wrong('from nobody');
    if (driver.directory.peers.get(one.from)?.suspended !== false) throw wrong('from one who is suspended');
    if (!from.held.has(one.piece)) throw wrong('from one who has it not');
    if (part.held.has(one.piece)) throw wrong('it has it');
    const before = part.fetching.get(one.piece);
    if (before && driver.now - before.begunAt < TRANSFER_DEADLINE_MS) throw wrong('it is on its way');
    for (const pair of [`${one.peer} ${one.from}`, `* ${one.from}`])
      if ((this.#apart.get(pair) ?? 0) > driver.now) throw wrong('from one that it stays away from');
    this.#slots(one, part, driver.now);
  }

  /** Before the fetch is under way. */
  #slots(one: Of<'fetch'>, { blob }: Part, now: number): void {
    let downloads = 1;
    let uploads = 1;
    for (const other of this.#world.parts()) {
      for (const fetch of other.fetching.values()) {
        if (now - fetch.begunAt >= TRANSFER_DEADLINE_MS) continue;
        if (other.peer === one.peer) downloads += 1;
        if (fetch.from === one.from && fetch.life === this.#world.lifeOf(one.from)) uploads += 1;
      }
    }
    const more = blob.count === 1 ? ONE_PIECE_SLOTS : 0;
    const slots = this.#world.uploadSlots.get(one.from) ?? UPLOAD_SLOTS;
    if (downloads > DOWNLOAD_SLOTS + more) throw new Error('too many pieces on their way to one proxy');
    if (uploads > slots + more) throw new Error('too many pieces on their way from one proxy');
  }

  lease(one: Of<'lease'>, part: Part, last: number, driver: Driver): void {
    const world = this.#world;
    const wrong = (what: string) => new Error(`${what}: ${JSON.stringify(one)}`);
    const { first } = one.run;
    const { count } = part.blob;
    const isRanged = !world.noRanges.has(one.digest);
    if (!part.origin) throw wrong('a lease to one who cannot read');
    if (first < 0 || last >= count || last < first) throw wrong('a lease of nothing');
    const live = [...world.parts({ digest: one.digest })].flatMap((other) =>
      [...other.reads.values()]
        .filter((read) => isLive(read, driver.now) && bringsAny(other, read))
        .map((read) => ({ ...read, brings: (piece: number) => comesBy(read, piece) && !other.held.has(piece) })),
    );
    if (!isRanged && live.length > 0) throw wrong('a second read without ranges');
    if (live.length >= MAX_LESSEES) throw wrong('too many reads');
    for (let piece = first; piece <= last; piece += 1) {
      // Without ranges all that follows is read too.
      if (piece > first && !isRanged) break;
      // One of unknown size is read from its begin.
      if (part.held.has(piece) && Number.isFinite(one.run.count)) throw wrong('a lease of what is there');
      if (live.some((read) => read.brings(piece) && !isLone(driver, read)))
        throw wrong(`piece ${piece} is leased twice`);
      if (isRanged) this.#notHeld(one, piece);
    }
  }

  /** Holders that nobody has complained of have to be asked before the origin. */
  #notHeld(one: Of<'lease'>, piece: number): void {
    const { failedOnce, alive, unreachable } = this.#world;
    if (failedOnce.size > 0) return;
    for (const { peer, held } of this.#world.parts({ digest: one.digest })) {
      if (held.has(piece) && alive.has(peer) && !unreachable.has(peer))
        throw new Error(`piece ${piece} is leased though ${peer} has it`);
    }
  }

  /** No slot and no lease is held for what is not under way; nobody is suspended on fewer words than it takes. */
  state({ swarm, directory, now }: Driver): void {
    const { transfers, leases, peers } = swarm.stats();
    let sure = 0;
    let overdue = 0;
    let reads = 0;
    for (const part of this.#world.parts()) {
      reads += part.reads.size;
      for (const { begunAt } of part.fetching.values()) {
        if (now - begunAt < TRANSFER_DEADLINE_MS) sure += 1;
        else if (now - begunAt < TRANSFER_DEADLINE_MS + SWEPT_MS) overdue += 1;
      }
    }
    if (transfers < sure || transfers > sure + overdue)
      throw new Error(`${transfers} transfers, but ${sure} pieces are being fetched`);
    if (leases > reads) throw new Error(`${leases} leases, but ${reads} reads`);
    if (peers !== this.#world.alive.size) throw new Error(`${peers} peers, but ${this.#world.alive.size} are there`);
    for (const { id, suspended } of directory.peers.values()) {
      if (suspended && (this.#complaints.get(id)?.size ?? 0) < COMPLAINTS_TO_SUSPEND)
        throw new Error(`${id} is suspended on ${this.#complaints.get(id)?.size ?? 0} words`);
    }
  }
}

/** Notes when it is not any more. */
export function isLive(read: Read, now: number): boolean {
  // The same sum as in the swarm: a difference could be rounded the other way.
  read.stalled ||= read.heardAt + LEASE_SILENT_MS <= now;
  return read.next <= read.last && !read.stalled;
}

/** Two reads of one proxy may overlap, where one had fallen silent: what one has brought the other brings no more. */
function bringsAny({ held }: Part, { next, last }: Read): boolean {
  for (let piece = next; piece <= last; piece += 1) if (!held.has(piece)) return true;
  return false;
}

function comesBy({ next, last, early }: Read, piece: number): boolean {
  return next <= piece && piece <= last && !early.has(piece);
}

/** One that reads the whole rest alone: while it is not known whether the origin gives ranges, some of it is read once more, to find out. */
function isLone({ directory }: Driver, read: Read): boolean {
  for (const blob of directory.active.values()) {
    const lease = blob.leases.find(({ id }) => id === read.id);
    if (lease) return lease.isLone && !lease.wish.origin?.hasRanges;
  }
  return false;
}
