import fc from 'fast-check';
import t from 'tap';
import type { Digest } from '../../../src/base/digest.ts';
import { Pieces } from '../../../src/base/pieces.ts';
import { MiB } from '../../../src/base/units.ts';
import type { PieceFailure } from '../../../src/p2p/protocol/coordinator.ts';
import type { Decision, SwarmEvent } from '../../../src/p2p/supernode/events.ts';
import {
  DOWNLOAD_SLOTS,
  LEASE_SILENT_MS,
  MAX_LESSEES,
  MAX_TRIES_WITHOUT_PROGRESS,
  ONE_PIECE_SLOTS,
  UPLOAD_SLOTS,
} from '../../../src/p2p/supernode/limits.ts';
import { digest, Driver } from './driver.ts';

/*
 * A model of the world around the swarm: proxies that do what they are told, or fail, die and lie. It checks each decision
 * against what it knows to be true, and at the end lets all go well: then everybody must be served or told that nobody can.
 */

const BLOBS = [1, 3, 40].map((mib, i) => ({
  digest: digest(`model ${i}`),
  size: mib * MiB,
  count: new Pieces(mib * MiB).count,
}));
const PEERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
const REASONS: PieceFailure[] = ['reset', 'timeout', 'busy', 'gone', 'bad'];

interface Read {
  readonly id: number;
  next: number;
  last: number;
  heardAt: number;
}

interface Part {
  readonly held: Set<number>;
  wants: boolean;
  origin: boolean;
  toldNone: boolean;
  readonly fetching: Map<number, string>;
  readonly reads: Map<number, Read>;
  /** Failed reads since a byte came. */
  tries: number;
}

type ModelBlob = (typeof BLOBS)[number];

/** Proxies give a fetch up long before the swarm does. */
const FETCH_GIVEN_UP_MS = 30_000;

class Model {
  driver = new Driver({ seed: 7 });
  readonly alive = new Set<string>();
  readonly unreachable = new Set<string>();
  readonly parts = new Map<string, Part>();
  readonly log: Decision[] = [];
  /** Who had trouble with anybody: for those the origin may be read again. */
  readonly failedOnce = new Set<string>();
  /** When each fetch began, by its part. */
  readonly begun = new Map<Part, Map<number, number>>();
  readonly noRanges = new Set<Digest>();
  restarts = 0;

  constructor() {
    this.driver.proveRanges();
  }

  part(peer: string, blob: Digest): Part {
    const key = `${peer} ${blob}`;
    let part = this.parts.get(key);
    if (!part) {
      const none = { wants: false, origin: false, toldNone: false, tries: 0 };
      part = { ...none, held: new Set(), fetching: new Map(), reads: new Map() };
      this.parts.set(key, part);
    }
    return part;
  }

  tell(event: SwarmEvent): void {
    this.hear(this.driver.tell(event));
  }

  pass(ms: number): void {
    for (const { peer, blob, part, fetch } of this.work()) {
      if (!fetch) continue;
      const [piece, from] = fetch;
      if ((this.begun.get(part)?.get(piece) ?? 0) + FETCH_GIVEN_UP_MS > this.driver.now) continue;
      part.fetching.delete(piece);
      this.failedOnce.add(from);
      this.tell({ kind: 'failed', peer, digest: blob.digest, piece, from, reason: 'timeout' });
    }
    this.hear(this.driver.pass(ms));
  }

  /** No slot and no lease is held for what is not under way. */
  checkState(): void {
    const { transfers, leases, peers } = this.driver.swarm.stats();
    let fetching = 0;
    let reads = 0;
    for (const part of this.parts.values()) {
      fetching += part.fetching.size;
      reads += part.reads.size;
    }
    if (transfers !== fetching) throw new Error(`${transfers} transfers, but ${fetching} pieces are being fetched`);
    if (leases > reads) throw new Error(`${leases} leases, but ${reads} reads`);
    if (peers !== this.alive.size) throw new Error(`${peers} peers, but ${this.alive.size} are there`);
  }

  /** Checks and takes in what the swarm said. */
  hear(said: readonly Decision[]): void {
    this.log.push(...said);
    for (const one of said) {
      if (one.kind === 'reject' || one.kind === 'trouble' || one.kind === 'blamed') continue;
      const part = this.part(one.peer, one.digest);
      const blob = BLOBS.find((known) => known.digest === one.digest)!;
      if (!this.alive.has(one.peer) || !part.wants) throw new Error(`said to nobody: ${JSON.stringify(one)}`);
      if (one.kind === 'fetch') this.#fetch(one, part, blob.count);
      else if (one.kind === 'lease') this.#lease(one, part, blob.count);
      else if (one.kind === 'cut') part.reads.get(one.lease)!.last = one.last;
      else if (one.kind === 'none') part.toldNone = true;
    }
  }

  #fetch(one: Extract<Decision, { kind: 'fetch' }>, part: Part, count: number): void {
    const from = this.part(one.from, one.digest);
    if (one.from === one.peer || !this.alive.has(one.from) || this.unreachable.has(one.from))
      throw new Error(`from nobody ${JSON.stringify(one)}`);
    if (!from.held.has(one.piece)) throw new Error(`from one who has it not ${JSON.stringify(one)}`);
    if (part.held.has(one.piece) || part.fetching.has(one.piece)) throw new Error(`twice ${JSON.stringify(one)}`);
    part.fetching.set(one.piece, one.from);
    const begun = this.begun.get(part) ?? new Map<number, number>();
    this.begun.set(part, begun.set(one.piece, this.driver.now));
    const small = count === 1 ? ONE_PIECE_SLOTS : 0;
    let downloads = 0;
    let uploads = 0;
    for (const [key, other] of this.parts) {
      if (key.startsWith(`${one.peer} `)) downloads += other.fetching.size;
      for (const source of other.fetching.values()) if (source === one.from) uploads += 1;
    }
    if (downloads > DOWNLOAD_SLOTS + small) throw new Error('too many pieces on their way to one proxy');
    if (uploads > UPLOAD_SLOTS + small) throw new Error('too many pieces on their way from one proxy');
  }

  #lease(one: Extract<Decision, { kind: 'lease' }>, part: Part, count: number): void {
    if (!part.origin) throw new Error('a lease to one who cannot read');
    const { first } = one.run;
    const last = first + one.run.count - 1;
    const live = [...this.parts].flatMap(([key, other]) =>
      key.endsWith(` ${one.digest}`)
        ? [...other.reads.values()].filter(
            (read) => read.next <= read.last && this.driver.now - read.heardAt < LEASE_SILENT_MS,
          )
        : [],
    );
    if (this.noRanges.has(one.digest) && live.length > 0) throw new Error('a second read without ranges');
    if (live.length > MAX_LESSEES) throw new Error('too many reads');
    if (first < 0 || last >= count || last < first) throw new Error(`a lease of nothing ${JSON.stringify(one)}`);
    for (let piece = first; piece <= last; piece += 1) {
      // Without ranges all that follows is read too.
      if (piece > first && this.noRanges.has(one.digest)) break;
      if (part.held.has(piece)) throw new Error('a lease of what is there');
      for (const [key, other] of this.parts) {
        if (!key.endsWith(` ${one.digest}`)) continue;
        const name = key.split(' ')[0]!;
        for (const read of other.reads.values()) {
          const isLive = this.driver.now - read.heardAt < LEASE_SILENT_MS;
          if (isLive && read.next <= piece && piece <= read.last) throw new Error(`piece ${piece} is leased twice`);
        }
        // Holders that nobody has complained of have to be asked before the origin.
        if (
          this.failedOnce.size === 0 &&
          !this.noRanges.has(one.digest) &&
          other.held.has(piece) &&
          this.alive.has(name) &&
          !this.unreachable.has(name)
        ) {
          throw new Error(`piece ${piece} is leased though ${name} has it`);
        }
      }
    }
    part.reads.set(one.lease, { id: one.lease, next: first, last, heardAt: this.driver.now });
  }

  join(peer: string, reachable: boolean): void {
    this.alive.add(peer);
    if (reachable) this.unreachable.delete(peer);
    else this.unreachable.add(peer);
    this.tell({ kind: 'peer', peer, reachable });
  }

  die(peer: string): void {
    if (!this.alive.delete(peer)) return;
    for (const [key, part] of this.parts) {
      if (key.startsWith(`${peer} `)) {
        this.parts.delete(key);
        continue;
      }
      // Connections are reset, and reported only later.
      for (const source of part.fetching.values()) if (source === peer) this.failedOnce.add(peer);
    }
    this.tell({ kind: 'gone', peer });
  }

  want(peer: string, blob: ModelBlob, origin: boolean): void {
    const part = this.part(peer, blob.digest);
    if (!this.alive.has(peer) || part.wants || part.held.size === blob.count) return;
    part.wants = true;
    part.origin = origin;
    part.toldNone = false;
    part.tries = 0;
    const want = {
      kind: 'want',
      peer,
      digest: blob.digest,
      size: blob.size,
      held: [...part.held],
      image: 'image',
    } as const;
    this.tell({ ...want, awaited: [{ first: 0, count: blob.count }], ...(origin && { origin: 'origin' }) });
  }

  leave(peer: string, blob: ModelBlob): void {
    const part = this.part(peer, blob.digest);
    if (!part.wants) return;
    part.wants = false;
    part.fetching.clear();
    part.reads.clear();
    this.tell({ kind: 'leave', peer, digest: blob.digest });
    this.#forgetRanges();
  }

  /** What is known of a blob's origin goes with the last who wants it. */
  #forgetRanges(): void {
    for (const blob of this.noRanges) {
      if (![...this.parts].some(([key, part]) => key.endsWith(` ${blob}`) && part.wants)) this.noRanges.delete(blob);
    }
  }

  /** The client seeks: only a part is awaited. */
  seek(peer: string, blob: ModelBlob, pick: number): void {
    const part = this.part(peer, blob.digest);
    if (!part.wants) return;
    part.toldNone = false;
    const first = pick % blob.count;
    this.tell({ kind: 'awaiting', peer, digest: blob.digest, awaited: [{ first, count: 1 + (pick % 7) }] });
  }

  /** The origin's answer to a read shows that it gives no ranges. */
  withoutRanges(pick: number): void {
    const reads = this.work().filter((item) => item.read && item.read.next <= item.read.last);
    const item = reads[pick % Math.max(1, reads.length)];
    if (!item) return;
    this.noRanges.add(item.blob.digest);
    this.tell({ kind: 'no-ranges', peer: item.peer, digest: item.blob.digest });
  }

  /** The origin wants to be left alone for a while. */
  rateLimited(pick: number): void {
    const reads = this.work().filter((item) => item.read);
    const item = reads[pick % Math.max(1, reads.length)];
    if (!item?.read) return;
    const failure = { code: 'ORIGIN_RATE_LIMITED', final: false, retryAfterMs: pick * 100 };
    this.#readFailed(item.part, item.read);
    this.tell({ kind: 'ended', peer: item.peer, digest: item.blob.digest, lease: item.read.id, failure });
  }

  /** One that says another size than the others is on its own. */
  contradict(peer: string, blob: ModelBlob): void {
    const part = this.part(peer, blob.digest);
    const known = [...this.driver.swarm.blobs()].find((one) => one.digest === blob.digest);
    if (!this.alive.has(peer) || known?.size !== blob.size) return;
    part.wants = false;
    part.fetching.clear();
    part.reads.clear();
    const awaited = [{ first: 0, count: 1 }];
    const want = { kind: 'want', peer, digest: blob.digest, size: blob.size + 1, held: [], awaited } as const;
    const said = this.driver.tell(want);
    const own = said.filter((one) => one.peer === peer && 'digest' in one && one.digest === blob.digest);
    if (!own.some((one) => one.kind === 'none' && one.reason === 'alone')) throw new Error('not told that it is alone');
    this.hear(said.filter((one) => !own.includes(one)));
    this.#forgetRanges();
  }

  /** The supernode is killed and another one started: it knows only what it is told again. */
  restart(): void {
    this.restarts += 1;
    const { now } = this.driver;
    this.driver = new Driver({ seed: 7 + this.restarts, settleMs: 2000, firstLease: this.restarts * 1_000_000, now });
    this.noRanges.clear();
    const earlier = { peer: 'earlier', digest: digest('earlier') };
    this.driver.peers('earlier');
    this.driver.want('earlier', { blob: earlier.digest, mib: 2, held: [0], origin: 'origin' });
    this.driver.tell({ kind: 'reading', ...earlier, lease: 1, run: { first: 1, count: 1 } });
    this.driver.tell({ kind: 'progress', ...earlier, lease: 1 });
    this.driver.tell({ kind: 'gone', peer: 'earlier' });
    for (const part of this.parts.values()) part.fetching.clear();
    for (const peer of this.alive) this.tell({ kind: 'peer', peer, reachable: !this.unreachable.has(peer) });
    for (const [key, part] of this.parts) {
      const [peer, name] = key.split(' ') as [string, string];
      const blob = BLOBS.find((known) => known.digest === name)!;
      if (!this.alive.has(peer)) continue;
      if (part.wants) {
        part.wants = false;
        this.want(peer, blob, part.origin);
        for (const read of part.reads.values()) {
          read.heardAt = now;
          const run = { first: read.next, count: read.last - read.next + 1 };
          if (run.count > 0) this.tell({ kind: 'reading', peer, digest: blob.digest, lease: read.id, run });
        }
      } else if (part.held.size > 0) {
        const { size } = blob;
        this.tell({ kind: 'have', peer, digest: blob.digest, size, pieces: [...part.held] });
      }
    }
  }

  /** From here on all goes well, and all is awaited. */
  settle(): void {
    for (const [key, part] of this.parts) {
      const [peer, name] = key.split(' ') as [string, string];
      const blob = BLOBS.find((known) => known.digest === name)!;
      if (!part.wants || !this.alive.has(peer)) continue;
      part.toldNone = false;
      this.tell({ kind: 'awaiting', peer, digest: blob.digest, awaited: [{ first: 0, count: blob.count }] });
    }
  }

  #readFailed(part: Part, read: Read): void {
    part.reads.delete(read.id);
    part.tries += 1;
    if (part.tries >= MAX_TRIES_WITHOUT_PROGRESS) part.origin = false;
  }

  /** All work that is under way: fetches, then reads. */
  work(): { peer: string; blob: ModelBlob; part: Part; fetch?: [number, string]; read?: Read }[] {
    return [...this.parts].flatMap(([key, part]) => {
      const [peer, name] = key.split(' ') as [string, string];
      const blob = BLOBS.find((known) => known.digest === name)!;
      return [
        ...[...part.fetching].map((fetch) => ({ peer, blob, part, fetch })),
        ...[...part.reads.values()].map((read) => ({ peer, blob, part, read })),
      ];
    });
  }

  /** One piece of work goes well. */
  step(pick: number): boolean {
    const all = this.work();
    const item = all[pick % Math.max(1, all.length)];
    if (!item) return false;
    const { peer, blob, part, fetch, read } = item;
    const of = { peer, digest: blob.digest };
    if (fetch) {
      const [piece, from] = fetch;
      part.fetching.delete(piece);
      const sender = this.parts.get(`${from} ${blob.digest}`);
      if (!this.alive.has(from) || !sender?.held.has(piece)) {
        this.failedOnce.add(from);
        this.tell({ kind: 'failed', ...of, piece, from, reason: this.alive.has(from) ? 'gone' : 'reset' });
      } else {
        part.held.add(piece);
        this.tell({ kind: 'piece', ...of, piece, from, ms: 20, crc32: piece });
      }
    } else if (read) {
      read.heardAt = this.driver.now;
      if (read.next > read.last) {
        part.reads.delete(read.id);
        this.tell({ kind: 'ended', ...of, lease: read.id });
      } else {
        const piece = read.next;
        read.next += 1;
        part.tries = 0;
        part.held.add(piece);
        this.tell({ kind: 'piece', ...of, piece, ms: 20, crc32: piece });
      }
    }
    if (part.held.size === blob.count) this.leave(peer, blob);
    return true;
  }

  fail(pick: number, reason: PieceFailure): void {
    const all = this.work();
    const item = all[pick % Math.max(1, all.length)];
    if (!item) return;
    const of = { peer: item.peer, digest: item.blob.digest };
    if (item.fetch) {
      const [piece, from] = item.fetch;
      item.part.fetching.delete(piece);
      this.failedOnce.add(from);
      this.tell({ kind: 'failed', ...of, piece, from, reason });
    } else if (item.read) {
      this.#readFailed(item.part, item.read);
      const final = reason === 'gone';
      if (final) item.part.origin = false;
      this.tell({ kind: 'ended', ...of, lease: item.read.id, failure: { code: 'ORIGIN_CUT', final } });
    }
  }

  lose(peer: string, blob: ModelBlob): void {
    const part = this.part(peer, blob.digest);
    if (!this.alive.has(peer) || part.wants) return;
    for (const other of this.parts.values()) if ([...other.fetching.values()].includes(peer)) this.failedOnce.add(peer);
    part.held.clear();
    this.tell({ kind: 'lost', peer, digest: blob.digest });
  }

  lie(peer: string, blob: ModelBlob, pick: number): void {
    const of = {
      peer: pick % 5 === 0 ? 'stranger' : peer,
      digest: pick % 7 === 0 ? digest('no such blob') : blob.digest,
    };
    const piece = blob.count + pick;
    this.tell({ kind: 'second-reading', ...of, lease: pick, piece: pick % 50, crc32: pick, sha256: 'none' });
    this.tell({ kind: 'settled', ...of, piece: pick % 50, crc32: pick });
    if (pick % 3 === 0) this.tell({ kind: 'piece', ...of, piece, ms: -1, crc32: 0 });
    else if (pick % 3 === 1) this.tell({ kind: 'failed', ...of, piece: pick, from: 'nobody', reason: 'bad' });
    else this.tell({ kind: 'ended', ...of, lease: pick + 100_000, failure: { code: 'X', final: true } });
  }
}

const actions = fc.array(
  fc.record({
    what: fc.constantFrom(
      'join',
      'join',
      'want',
      'want',
      'want',
      'step',
      'step',
      'step',
      'step',
      'step',
      'fail',
      'die',
      'leave',
      'lose',
      'lie',
      'pass',
      'seek',
      'no-ranges',
      'rate-limited',
      'contradict',
      'restart',
    ),
    peer: fc.constantFrom(...PEERS),
    blob: fc.constantFrom(...BLOBS),
    pick: fc.nat(1000),
    flag: fc.boolean(),
  }),
  { minLength: 20, maxLength: 250 },
);
type Action = typeof actions extends fc.Arbitrary<(infer A)[]> ? A : never;

function play(model: Model, list: readonly Action[]): void {
  for (const { what, peer, blob, pick, flag } of list) {
    if (what === 'join') model.join(peer, flag || pick % 3 > 0);
    else if (what === 'want') model.want(peer, blob, flag || pick % 2 === 0);
    else if (what === 'step') for (let n = 0; n < 6; n += 1) model.step(pick + n);
    else if (what === 'fail') model.fail(pick, REASONS[pick % REASONS.length]!);
    else if (what === 'die') model.die(peer);
    else if (what === 'leave') model.leave(peer, blob);
    else if (what === 'lose') model.lose(peer, blob);
    else if (what === 'lie') model.lie(peer, blob, pick);
    else if (what === 'seek') model.seek(peer, blob, pick);
    else if (what === 'no-ranges') model.withoutRanges(pick);
    else if (what === 'rate-limited') model.rateLimited(pick);
    else if (what === 'contradict') model.contradict(peer, blob);
    else if (what === 'restart') {
      if (pick % 4 === 0) model.restart();
    } else model.pass(pick * (flag ? 1.137 : 1));
    model.checkState();
  }
}

t.test(
  'whatever happens: no slot is overdrawn, no piece leased twice, nobody forgotten, nothing left behind',
  async (t) => {
    fc.assert(
      fc.property(actions, (list) => {
        const model = new Model();
        play(model, list);
        model.settle();
        for (let turns = 0; turns < 20_000; turns += 1) {
          const open = [...model.parts.values()].filter((part) => part.wants && !part.toldNone);
          if (open.length === 0) break;
          if (!model.step(turns)) model.pass(500);
          if (turns % 50 === 49) model.pass(100);
        }
        for (const [key, part] of model.parts) {
          if (part.wants && !part.toldNone) throw new Error(`${key} was forgotten with ${part.held.size} pieces`);
          if (part.toldNone && part.origin && part.wants) throw new Error(`${key} could read the origin itself`);
        }
        for (const peer of PEERS) for (const blob of BLOBS) model.leave(peer, blob);
        const { transfers, leases, wishes } = model.driver.swarm.stats();
        if (transfers + leases + wishes > 0) throw new Error('something was left behind');
        for (const peer of PEERS) model.die(peer);
        const { peers, blobs } = model.driver.swarm.stats();
        if (peers + blobs > 0) throw new Error('peers or blobs were left behind');
      }),
      { numRuns: 500 },
    );
    t.pass('500 histories');
  },
);

t.test('the same events with the same numbers give the same decisions', async (t) => {
  fc.assert(
    fc.property(actions, (list) => {
      const [one, two] = [new Model(), new Model()];
      play(one, list);
      play(two, list);
      return JSON.stringify(one.log) === JSON.stringify(two.log);
    }),
    { numRuns: 20 },
  );
  t.pass('20 histories, twice each');
});
