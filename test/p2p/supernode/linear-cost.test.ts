import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import type { Digest } from '../../../src/base/digest.ts';
import { MiB } from '../../../src/base/units.ts';
import type { Decision } from '../../../src/p2p/supernode/events.ts';
import { digest, Driver } from './driver.ts';

/*
 * What an event costs, and what a swarm takes, does not depend on how many swarms there are, nor on how long a blob is. Compared
 * are CPU times of the same work, small beside large, with room for the caches that large state does not fit into: an event that
 * looked at all swarms or at all pieces would take a hundred times as long.
 */

/** The large may cost so many times what the small costs. */
const MOST = 8;
/** Other work on the machine makes either dearer, and comes and goes: the least of several is what counts. */
const MEASURED_AGAIN = 4;
const PIECE_MS = 0.2;

interface Read {
  readonly kind: 'read';
  readonly peer: string;
  readonly digest: Digest;
  readonly lease: number;
  next: number;
  last: number;
}
type Work = Read | Extract<Decision, { kind: 'fetch' }>;

/** Proxies that do at once what they are told, one piece after the other. */
class Cluster {
  readonly driver = new Driver();
  readonly #queue: Work[] = [];
  readonly #reads = new Map<number, Read>();
  #taken = 0;
  reports = 0;

  constructor() {
    this.driver.proveRanges();
  }

  /** `peers` want the blob, one of which has its first piece: all read the origin. */
  want(blob: Digest, mib: number, peers: readonly string[]): void {
    this.driver.peers(...peers);
    for (const peer of peers) this.#hear(this.driver.want(peer, { blob, mib, origin: 'origin' }));
  }

  /** Reports so many pieces, or all that there are; gives the CPU milliseconds of one report. */
  work(most = Number.POSITIVE_INFINITY): number {
    const before = process.cpuUsage();
    const from = this.reports;
    while (this.reports - from < most && this.#step());
    const { user } = process.cpuUsage(before);
    return user / 1000 / (this.reports - from);
  }

  #step(): boolean {
    const work = this.#queue[this.#taken];
    if (!work) {
      this.#hear(this.driver.pass(100));
      return this.#taken < this.#queue.length;
    }
    this.#taken += 1;
    this.driver.now += PIECE_MS / 100;
    if (work.kind === 'fetch') {
      this.#report(work.peer, work.digest, work.piece, work.from);
    } else if (work.next <= work.last) {
      work.next += 1;
      this.#report(work.peer, work.digest, work.next - 1);
      this.#queue.push(work);
    } else {
      this.#hear(this.driver.ended(work.peer, work.lease, undefined, work.digest));
    }
    return true;
  }

  #report(peer: string, blob: Digest, piece: number, from?: string): void {
    this.reports += 1;
    this.#hear(this.driver.got(peer, piece, from, { blob, ms: PIECE_MS }));
  }

  #hear(said: readonly Decision[]): void {
    this.driver.take();
    for (const one of said) {
      if (one.kind === 'fetch') this.#queue.push(one);
      else if (one.kind === 'cut') this.#reads.get(one.lease)!.last = one.last;
      else if (one.kind === 'lease') {
        const { peer, lease, run } = one;
        const read: Read = {
          kind: 'read',
          peer,
          digest: one.digest,
          lease,
          next: run.first,
          last: run.first + run.count - 1,
        };
        this.#reads.set(lease, read);
        this.#queue.push(read);
      }
    }
  }
}

/** `count` swarms of four peers each. */
function swarms(count: number): Cluster {
  const cluster = new Cluster();
  for (let n = 0; n < count; n += 1)
    cluster.want(
      digest(`swarm ${n}`),
      40,
      ['a', 'b', 'c', 'd'].map((name) => `${name} ${n}`),
    );
  return cluster;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

t.test('1,000 swarms at once: a report costs about what it costs with 10, and a swarm takes no more', (t) => {
  // What is compiled on the way is no part of it.
  for (let n = 0; n < 5; n += 1) swarms(10).work();
  const ofFew = () => median([1, 2, 3, 4, 5].map(() => swarms(10).work()));
  let few = ofFew();
  const before = heapBytes();
  const many = swarms(1000);
  const bytes = (heapBytes() - before) / 1000;
  let all = many.work();
  t.equal(many.reports >= 1000 * 4 * 40, true, 'all have all');
  for (let again = 0; again < MEASURED_AGAIN && all > few * MOST; again += 1) {
    few = Math.min(few, ofFew());
    all = Math.min(all, swarms(1000).work());
  }
  t.comment(
    `a report: ${(few * 1000).toFixed(1)} µs with 10 swarms, ${(all * 1000).toFixed(1)} µs with 1,000; a swarm: ${Math.round(bytes)} bytes`,
  );
  t.ok(all <= few * MOST, `${(all / few).toFixed(1)} times`);
  const small = heapBytes();
  const ten = swarms(100);
  const bytesOfFew = (heapBytes() - small) / 100;
  t.ok(bytes <= 2 * bytesOfFew, `${Math.round(bytes)} bytes a swarm, ${Math.round(bytesOfFew)} where there are 100`);
  t.ok(ten.reports === 0);
  t.end();
});

t.test('a blob of 10,000 pieces: a report costs the same at its begin and at its end, and as in a short one', (t) => {
  const pieces = 10_000;
  const peers = Array.from({ length: 8 }, (_, n) => `peer ${n}`);
  const workOnShort = () =>
    median(
      [1, 2, 3, 4, 5].map(() => {
        const short = new Cluster();
        short.want(digest('short'), 400, peers);
        return short.work();
      }),
    );
  const workOnLong = () => {
    const long = new Cluster();
    long.want(digest('long'), (pieces * 4 * MiB) / MiB, peers);
    const parts = Array.from({ length: 8 }, () => long.work((pieces * peers.length) / 8));
    t.ok(long.reports >= pieces * peers.length - 8, `${long.reports} reports`);
    return parts;
  };
  let ofShort = workOnShort();
  let parts = workOnLong();
  for (let again = 0; again < MEASURED_AGAIN && parts.some((part) => part > ofShort * MOST); again += 1) {
    ofShort = Math.min(ofShort, workOnShort());
    const fresh = workOnLong();
    parts = parts.map((part, i) => Math.min(part, fresh[i]!));
  }
  t.comment(
    `a report: ${(ofShort * 1000).toFixed(1)} µs of 400 pieces, ${parts.map((ms) => (ms * 1000).toFixed(1)).join(', ')} µs of 10,000`,
  );
  for (const part of parts) t.ok(part <= ofShort * MOST, `${(part / ofShort).toFixed(1)} times`);
  t.end();
});
